// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"
)

// Documents asks rich queries, as Fabric's sample asset-transfer-ledger-queries does.
type Documents struct {
	contractapi.Contract
}

// Page is one page of results.
type Page struct {
	IDs      []string `json:"IDs"`
	Fetched  int32    `json:"Fetched"`
	Bookmark string   `json:"Bookmark"`
}

// ByOwner gives the identifiers of an owner's assets, the largest first.
func (*Documents) ByOwner(ctx contractapi.TransactionContextInterface, owner string) ([]string, error) {
	query, err := queryByOwner(owner)
	if err != nil {
		return nil, err
	}
	results, err := ctx.GetStub().GetQueryResult(query)
	if err != nil {
		return nil, err
	}
	return identifiers(results)
}

// PageByOwner gives one page of what ByOwner gives.
func (*Documents) PageByOwner(
	ctx contractapi.TransactionContextInterface, owner string, size int32, bookmark string,
) (*Page, error) {
	query, err := queryByOwner(owner)
	if err != nil {
		return nil, err
	}
	results, metadata, err := ctx.GetStub().GetQueryResultWithPagination(query, size, bookmark)
	if err != nil {
		return nil, err
	}
	ids, err := identifiers(results)
	if err != nil {
		return nil, err
	}
	return &Page{IDs: ids, Fetched: metadata.GetFetchedRecordsCount(), Bookmark: metadata.GetBookmark()}, nil
}

func queryByOwner(owner string) (string, error) {
	query := map[string]any{
		"selector": map[string]any{"Owner": owner},
		"sort":     []any{map[string]any{"Size": "desc"}, map[string]any{"ID": "desc"}},
		"fields":   []any{"ID"},
	}
	text, err := json.Marshal(query)
	return string(text), err
}

func identifiers(results shim.StateQueryIteratorInterface) ([]string, error) {
	defer results.Close()
	ids := []string{}
	for results.HasNext() {
		result, err := results.Next()
		if err != nil {
			return nil, err
		}
		var found struct{ ID string }
		if err := json.Unmarshal(result.GetValue(), &found); err != nil {
			return nil, err
		}
		ids = append(ids, found.ID)
	}
	return ids, nil
}
