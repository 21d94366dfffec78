// SPDX-License-Identifier: Apache-2.0

// Command go-chaincode serves asset-transfer-basic on Fabric's official Go shim under mutual TLS.
package main

import (
	"fmt"
	"os"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// serve returns only when the server cannot start or ends by itself.
func serve() error {
	chaincode, err := contractapi.NewChaincode(new(AssetTransfer), new(Batch), new(Documents), new(Notices))
	if err != nil {
		return err
	}
	from := environment{}
	server := shim.ChaincodeServer{
		Address: from.text("CHAINCODE_SERVER_ADDRESS"),
		CCID:    from.text("CHAINCODE_ID"),
		CC:      chaincode,
		TLSProps: shim.TLSProperties{
			Key:           from.file("CHAINCODE_TLS_KEY"),
			Cert:          from.file("CHAINCODE_TLS_CERT"),
			ClientCACerts: from.file("CHAINCODE_CLIENT_CA_CERT"),
		},
	}
	if from.err != nil {
		return from.err
	}
	return server.Start()
}

// environment reads variables by the names of Fabric's own external chaincode sample and keeps the
// first error. All are required: without a client authority the shim would let anybody call.
type environment struct {
	err error
}

func (from *environment) text(name string) string {
	value := os.Getenv(name)
	if value == "" && from.err == nil {
		from.err = fmt.Errorf("%s is not set", name)
	}
	return value
}

func (from *environment) file(name string) []byte {
	path := from.text(name)
	if from.err != nil {
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		from.err = fmt.Errorf("%s: %w", name, err)
	}
	return content
}
