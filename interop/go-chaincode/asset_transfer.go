// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"
)

// Asset is a thing that somebody owns. Its fields stand in alphabetical order, so that every endorser,
// in whatever language, stores the same bytes.
type Asset struct {
	AppraisedValue int    `json:"AppraisedValue"`
	Color          string `json:"Color"`
	ID             string `json:"ID"`
	Owner          string `json:"Owner"`
	Size           int    `json:"Size"`
}

// AssetTransfer has the functions of Fabric's sample asset-transfer-basic.
type AssetTransfer struct {
	contractapi.Contract
}

// InitLedger stores the sample's six assets.
func (*AssetTransfer) InitLedger(ctx contractapi.TransactionContextInterface) error {
	initial := []Asset{
		{ID: "asset1", Color: "blue", Size: 5, Owner: "Tomoko", AppraisedValue: 300},
		{ID: "asset2", Color: "red", Size: 5, Owner: "Brad", AppraisedValue: 400},
		{ID: "asset3", Color: "green", Size: 10, Owner: "Jin Soo", AppraisedValue: 500},
		{ID: "asset4", Color: "yellow", Size: 10, Owner: "Max", AppraisedValue: 600},
		{ID: "asset5", Color: "black", Size: 15, Owner: "Adriana", AppraisedValue: 700},
		{ID: "asset6", Color: "white", Size: 15, Owner: "Michel", AppraisedValue: 800},
	}
	for _, asset := range initial {
		if err := write(ctx.GetStub(), asset); err != nil {
			return err
		}
	}
	return nil
}

// CreateAsset refuses an identifier that is taken.
func (contract *AssetTransfer) CreateAsset(ctx contractapi.TransactionContextInterface, id string, color string, size int, owner string, appraisedValue int) error {
	taken, err := contract.AssetExists(ctx, id)
	if err != nil {
		return err
	}
	if taken {
		return fmt.Errorf("the asset %s already exists", id)
	}
	return write(ctx.GetStub(), Asset{ID: id, Color: color, Size: size, Owner: owner, AppraisedValue: appraisedValue})
}

// ReadAsset gives the asset as JSON.
func (*AssetTransfer) ReadAsset(ctx contractapi.TransactionContextInterface, id string) (*Asset, error) {
	return read(ctx.GetStub(), id)
}

// UpdateAsset replaces an asset that exists.
func (*AssetTransfer) UpdateAsset(ctx contractapi.TransactionContextInterface, id string, color string, size int, owner string, appraisedValue int) error {
	if _, err := read(ctx.GetStub(), id); err != nil {
		return err
	}
	return write(ctx.GetStub(), Asset{ID: id, Color: color, Size: size, Owner: owner, AppraisedValue: appraisedValue})
}

// DeleteAsset removes an asset that exists.
func (*AssetTransfer) DeleteAsset(ctx contractapi.TransactionContextInterface, id string) error {
	if _, err := read(ctx.GetStub(), id); err != nil {
		return err
	}
	return ctx.GetStub().DelState(id)
}

// AssetExists tells whether the identifier is taken.
func (*AssetTransfer) AssetExists(ctx contractapi.TransactionContextInterface, id string) (bool, error) {
	stored, err := ctx.GetStub().GetState(id)
	return stored != nil, err
}

// TransferAsset answers with the owner before the transfer.
func (*AssetTransfer) TransferAsset(ctx contractapi.TransactionContextInterface, id string, newOwner string) (string, error) {
	asset, err := read(ctx.GetStub(), id)
	if err != nil {
		return "", err
	}
	before := asset.Owner
	asset.Owner = newOwner
	return before, write(ctx.GetStub(), *asset)
}

// GetAllAssets gives every asset in the order of the keys.
func (*AssetTransfer) GetAllAssets(ctx contractapi.TransactionContextInterface) ([]Asset, error) {
	rows, err := ctx.GetStub().GetStateByRange("", "")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	assets := []Asset{}
	for rows.HasNext() {
		row, err := rows.Next()
		if err != nil {
			return nil, err
		}
		asset, err := parse(row.GetKey(), row.GetValue())
		if err != nil {
			return nil, err
		}
		assets = append(assets, *asset)
	}
	return assets, nil
}

func read(stub shim.ChaincodeStubInterface, id string) (*Asset, error) {
	stored, err := stub.GetState(id)
	if err != nil {
		return nil, err
	}
	return parse(id, stored)
}

func parse(id string, stored []byte) (*Asset, error) {
	if stored == nil {
		return nil, fmt.Errorf("the asset %s does not exist", id)
	}
	asset := new(Asset)
	if err := json.Unmarshal(stored, asset); err != nil {
		return nil, fmt.Errorf("the asset %s is not what was stored: %w", id, err)
	}
	return asset, nil
}

func write(stub shim.ChaincodeStubInterface, asset Asset) error {
	value, err := json.Marshal(asset)
	if err != nil {
		return err
	}
	return stub.PutState(asset.ID, value)
}
