// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

// collection holds what Notices keeps; the chaincode's definition has it.
const collection = "notices"

// Notices has what Fabric's sample lacks for those who follow a channel: events and private data.
type Notices struct {
	contractapi.Contract
}

// Announce sets the event with this name and keeps its text as private data.
func (*Notices) Announce(ctx contractapi.TransactionContextInterface, name string, text string) error {
	stub := ctx.GetStub()
	if err := stub.PutPrivateData(collection, name, []byte(text)); err != nil {
		return err
	}
	return stub.SetEvent(name, []byte(text))
}
