// SPDX-License-Identifier: Apache-2.0
//
// What asset-transfer-basic must do behind a gateway, seen by the official client: the same checks as in
// interop/node-client. The codes and texts of the refusals are those of Fabric's own gateway.

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc/codes"
)

var (
	initial = []string{"asset1", "asset2", "asset3", "asset4", "asset5", "asset6"}
	created = Asset{AppraisedValue: 1300, Color: "yellow", ID: "interop1", Owner: "Tom", Size: 5}
	updated = Asset{AppraisedValue: 200, Color: "blue", ID: "interop1", Owner: "Ann", Size: 7}
)

// run needs a fresh network: the checks build on one another.
func run(report *Report, network *client.Network, wanted *Settings) {
	contract := Contract{network.GetContract(wanted.Chaincode)}
	lifeOfAnAsset(report, contract)
	refusals(report, contract, Contract{network.GetContract("ghost")})
	report.Check("of two transfers endorsed on the same state only the first is valid", func() error {
		return conflict(contract)
	})
	if wanted.Batches {
		const owner = "Many"
		ids := batches(report, Contract{network.GetContractWithName(wanted.Chaincode, "Batch")}, owner)
		documents(report, Contract{network.GetContractWithName(wanted.Chaincode, "Documents")}, ids, owner)
	}
	if wanted.Events {
		events(report, network, wanted.Chaincode)
	}
}

func lifeOfAnAsset(report *Report, contract Contract) {
	report.Check("InitLedger", func() error { return contract.submit("InitLedger") })
	report.Check("GetAllAssets after InitLedger", func() error { return contract.holds(initial) })
	report.Check("ReadAsset of an initial asset", func() error {
		return contract.stores(Asset{AppraisedValue: 300, Color: "blue", ID: "asset1", Owner: "Tomoko", Size: 5})
	})
	report.Check("AssetExists before CreateAsset", func() error {
		return contract.evaluates("false", "AssetExists", created.ID)
	})
	report.Check("CreateAsset", func() error { return contract.submit("CreateAsset", created.arguments()...) })
	report.Check("ReadAsset gives the stored JSON with sorted keys", func() error {
		text := `{"AppraisedValue":1300,"Color":"yellow","ID":"interop1","Owner":"Tom","Size":5}`
		return contract.evaluates(text, "ReadAsset", created.ID)
	})
	report.Check("AssetExists after CreateAsset", func() error {
		return contract.evaluates("true", "AssetExists", created.ID)
	})
	report.Check("UpdateAsset", func() error {
		err := contract.submit("UpdateAsset", updated.arguments()...)
		return first(err, func() error { return contract.stores(updated) })
	})
	report.Check("TransferAsset gives the owner before", func() error {
		transferred := updated
		transferred.Owner = "Zoë"
		err := contract.submits(updated.Owner, "TransferAsset", updated.ID, transferred.Owner)
		return first(err, func() error { return contract.stores(transferred) })
	})
	report.Check("an evaluated TransferAsset leaves no trace", func() error {
		err := contract.evaluates("Brad", "TransferAsset", "asset2", "Nobody")
		return first(err, func() error { return contract.ownedBy("asset2", "Brad") })
	})
	report.Check("DeleteAsset", func() error {
		err := contract.submit("DeleteAsset", updated.ID)
		err = first(err, func() error { return contract.evaluates("false", "AssetExists", updated.ID) })
		return first(err, func() error { return contract.holds(initial) })
	})
}

func refusals(report *Report, contract Contract, ghost Contract) {
	const missing = `(?i)^chaincode response 500, .*asset missing does not exist$`
	report.Check("evaluated ReadAsset of a missing asset is UNKNOWN with one detail", func() error {
		_, err := contract.EvaluateTransaction("ReadAsset", "missing")
		const text = `^evaluate call to endorser returned error: chaincode response 500, `
		return refused(err, codes.Unknown, text, missing)
	})
	report.Check("submitted ReadAsset of a missing asset is ABORTED with one detail", func() error {
		_, err := contract.SubmitTransaction("ReadAsset", "missing")
		var endorsing *client.EndorseError
		if !errors.As(err, &endorsing) {
			return fmt.Errorf("expected an EndorseError, not %T: %w", err, err)
		}
		const text = `^failed to endorse transaction, see attached details for more info$`
		return refused(err, codes.Aborted, text, missing)
	})
	report.Check("CreateAsset of an existing asset is ABORTED", func() error {
		_, err := contract.SubmitTransaction("CreateAsset", "asset1", "blue", "5", "Tom", "1")
		return refused(err, codes.Aborted, "", `(?i)^chaincode response 500, .*asset asset1 already exists$`)
	})
	report.Check("a chaincode that is not committed is FAILED_PRECONDITION", func() error {
		_, err := ghost.EvaluateTransaction("ReadAsset", "asset1")
		return refused(err, codes.FailedPrecondition, "")
	})
}

func conflict(contract Contract) error {
	one, err := contract.endorsed("TransferAsset", "asset3", "A")
	if err != nil {
		return err
	}
	other, err := contract.endorsed("TransferAsset", "asset3", "B")
	if err != nil {
		return err
	}
	before, err := committed(one)
	if err != nil {
		return err
	}
	after, err := committed(other)
	if err != nil {
		return err
	}
	if before.Code != peer.TxValidationCode_VALID || after.Code != peer.TxValidationCode_MVCC_READ_CONFLICT {
		return fmt.Errorf("expected VALID and MVCC_READ_CONFLICT, but got %v and %v", before.Code, after.Code)
	}
	if after.BlockNumber <= before.BlockNumber {
		return fmt.Errorf("block %d does not come after block %d", after.BlockNumber, before.BlockNumber)
	}
	return contract.ownedBy("asset3", "A")
}

// batches sends more keys than our peer takes in one message, so that the shim has to cut. It gives the
// identifiers of the assets that it stored.
func batches(report *Report, contract Contract, owner string) []string {
	const count = 2500
	ids := make([]string, count)
	assets := make([]Asset, count)
	for index := range ids {
		ids[index] = fmt.Sprintf("many%04d", index)
		assets[index] = Asset{ID: ids[index], Owner: owner}
	}
	report.Check("a batch of writes leaves the chaincode when it ends", func() error {
		result, err := contract.EvaluateTransaction("LateRefusal")
		if err == nil && !strings.Contains(string(result), "no-such-collection") {
			err = fmt.Errorf("the refusal does not name the collection: %s", result)
		}
		return err
	})
	report.Check(fmt.Sprintf("%d assets in one batch of writes", count), func() error {
		return contract.submit("CreateMany", encoded(ids), owner)
	})
	report.Check(fmt.Sprintf("%d assets in one reading of many keys", count), func() error {
		return contract.evaluates(encoded(assets), "ReadMany", encoded(ids))
	})
	report.Check("a missing key among many is seen", func() error {
		_, err := contract.EvaluateTransaction("ReadMany", encoded([]string{ids[0], "missing", ids[1]}))
		return refused(err, codes.Unknown, "", `^chaincode response 500, the asset missing does not exist$`)
	})
	return ids
}
