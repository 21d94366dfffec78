// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"
)

// Batch has what Fabric's sample lacks: the shim's operations on many keys in one message, which a peer
// of Fabric 3.1 offers when the chaincode registers.
type Batch struct {
	contractapi.Contract
}

// CreateMany stores an asset under every identifier in one batch of writes.
func (*Batch) CreateMany(ctx contractapi.TransactionContextInterface, ids []string, owner string) error {
	stub := ctx.GetStub()
	stub.StartWriteBatch()
	for _, id := range ids {
		if err := write(stub, Asset{ID: id, Owner: owner}); err != nil {
			return err
		}
	}
	return stub.FinishWriteBatch()
}

// ReadMany gives the assets in the order of the identifiers.
func (*Batch) ReadMany(ctx contractapi.TransactionContextInterface, ids []string) ([]Asset, error) {
	stored, err := ctx.GetStub().GetMultipleStates(ids...)
	if err != nil {
		return nil, err
	}
	if len(stored) != len(ids) {
		return nil, fmt.Errorf("asked for %d states and got %d", len(ids), len(stored))
	}
	assets := make([]Asset, 0, len(ids))
	for index, id := range ids {
		asset, err := parse(id, stored[index])
		if err != nil {
			return nil, err
		}
		assets = append(assets, *asset)
	}
	return assets, nil
}

// LateRefusal shows whether the peer offers batches, which the shim tells nobody: only within a batch
// does a write that the peer refuses succeed at first, and the end of the batch then gives the refusal.
func (*Batch) LateRefusal(ctx contractapi.TransactionContextInterface) (string, error) {
	stub := ctx.GetStub()
	stub.StartWriteBatch()
	if err := stub.PutPrivateData("no-such-collection", "key", []byte("value")); err != nil {
		return "", fmt.Errorf("the write left before the end of its batch: %w", err)
	}
	refusal := stub.FinishWriteBatch()
	if refusal == nil {
		return "", errors.New("the peer wrote to a collection that the chaincode does not have")
	}
	return refusal.Error(), nil
}
