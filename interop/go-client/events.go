// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
)

const (
	// collection is where the contract Notices of interop/go-chaincode keeps texts.
	collection = "notices"
	// patience only ends what hangs.
	patience = time.Minute
)

// Notice is an event that a committed transaction has set, whose text is private data, too.
type Notice struct {
	Name, Text    string
	TransactionID string
	Block         uint64
}

// follower follows a channel in the ways of the official client.
type follower struct {
	network   *client.Network
	chaincode string
}

// events needs the contract Notices, and that nobody else sends transactions: each one has a block of its own.
func events(report *Report, network *client.Network, chaincode string) {
	follower := follower{network, chaincode}
	var notices []Notice
	report.Check("transactions that set events", func() error {
		for _, name := range []string{"first", "second", "third"} {
			notice, err := follower.announce(name, "the text of "+name)
			if err != nil {
				return err
			}
			notices = append(notices, *notice)
		}
		return nil
	})
	if len(notices) != 3 {
		return
	}
	start := client.WithStartBlock(notices[0].Block)
	report.Check("chaincode events from a block on", func() error { return follower.hears(notices, start) })
	report.Check("chaincode events go on after a checkpoint", func() error {
		checkpointer := new(client.InMemoryCheckpointer)
		checkpointer.CheckpointTransaction(notices[0].Block, notices[0].TransactionID)
		return follower.hears(notices[1:], client.WithCheckpoint(checkpointer))
	})
	report.Check("chaincode events of a block that is yet to come", follower.waits)
	report.Check("whole blocks", func() error { return follower.readsBlocks(notices, start) })
	report.Check("filtered blocks", func() error { return follower.readsFilteredBlocks(notices, start) })
	report.Check("blocks with private data", func() error { return follower.readsPrivateData(notices, start) })
}

func (of follower) announce(name string, text string) (*Notice, error) {
	transaction, err := Contract{of.network.GetContractWithName(of.chaincode, "Notices")}.endorsed("Announce", name, text)
	if err != nil {
		return nil, err
	}
	status, err := committed(transaction)
	if err != nil {
		return nil, err
	}
	return &Notice{name, text, status.TransactionID, status.BlockNumber}, equal(peer.TxValidationCode_VALID, status.Code)
}

func (of follower) hears(expected []Notice, options ...client.ChaincodeEventsOption) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	events, err := of.network.ChaincodeEvents(ctx, of.chaincode, options...)
	if err != nil {
		return err
	}
	return each(expected, events, func(notice Notice, event *client.ChaincodeEvent) error {
		got := Notice{event.EventName, string(event.Payload), event.TransactionID, event.BlockNumber}
		return first(equal(notice, got), func() error { return equal(of.chaincode, event.ChaincodeName) })
	})
}

// waits asks for events before their block is there.
func (of follower) waits() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	before, err := of.announce("before", "a text")
	if err != nil {
		return err
	}
	events, err := of.network.ChaincodeEvents(ctx, of.chaincode, client.WithStartBlock(before.Block+1))
	if err != nil {
		return err
	}
	after, err := of.announce("after", "another text")
	if err != nil {
		return err
	}
	return each([]Notice{*after}, events, func(notice Notice, event *client.ChaincodeEvent) error {
		return equal(notice.TransactionID, event.TransactionID)
	})
}

func (of follower) readsBlocks(expected []Notice, start client.BlockEventsOption) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	blocks, err := of.network.BlockEvents(ctx, start)
	if err != nil {
		return err
	}
	return each(expected, blocks, func(notice Notice, block *common.Block) error {
		flags := block.GetMetadata().GetMetadata()[common.BlockMetadataIndex_TRANSACTIONS_FILTER]
		got := fmt.Sprint(block.GetHeader().GetNumber(), len(block.GetData().GetData()), flags)
		return equal(fmt.Sprint(notice.Block, 1, []byte{byte(peer.TxValidationCode_VALID)}), got)
	})
}

// readsFilteredBlocks expects events without their payloads.
func (of follower) readsFilteredBlocks(expected []Notice, start client.BlockEventsOption) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	blocks, err := of.network.FilteredBlockEvents(ctx, start)
	if err != nil {
		return err
	}
	return each(expected, blocks, func(notice Notice, block *peer.FilteredBlock) error {
		if len(block.GetFilteredTransactions()) != 1 {
			return fmt.Errorf("expected one transaction, but got %d", len(block.GetFilteredTransactions()))
		}
		transaction := block.GetFilteredTransactions()[0]
		actions := transaction.GetTransactionActions().GetChaincodeActions()
		if len(actions) != 1 {
			return fmt.Errorf("expected one action, but got %d", len(actions))
		}
		event := actions[0].GetChaincodeEvent()
		got := Notice{event.GetEventName(), string(event.GetPayload()), transaction.GetTxid(), block.GetNumber()}
		notice.Text = ""
		return first(equal(notice, got), func() error {
			return equal(peer.TxValidationCode_VALID, transaction.GetTxValidationCode())
		})
	})
}

func (of follower) readsPrivateData(expected []Notice, start client.BlockEventsOption) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	blocks, err := of.network.BlockAndPrivateDataEvents(ctx, start)
	if err != nil {
		return err
	}
	return each(expected, blocks, func(notice Notice, block *peer.BlockAndPrivateData) error {
		writes, err := of.privateWrites(block.GetPrivateDataMap()[0])
		if err != nil {
			return err
		}
		got := fmt.Sprint(block.GetBlock().GetHeader().GetNumber(), writes)
		return equal(fmt.Sprint(notice.Block, []string{notice.Name + "=" + notice.Text}), got)
	})
}

// privateWrites gives what a transaction has written to the collection of Notices.
func (of follower) privateWrites(written *rwset.TxPvtReadWriteSet) ([]string, error) {
	var writes []string
	for _, namespace := range written.GetNsPvtRwset() {
		for _, part := range namespace.GetCollectionPvtRwset() {
			if namespace.GetNamespace() != of.chaincode || part.GetCollectionName() != collection {
				return nil, fmt.Errorf("%s %s is written", namespace.GetNamespace(), part.GetCollectionName())
			}
			set := new(kvrwset.KVRWSet)
			if err := proto.Unmarshal(part.GetRwset(), set); err != nil {
				return nil, err
			}
			for _, write := range set.GetWrites() {
				writes = append(writes, write.GetKey()+"="+string(write.GetValue()))
			}
		}
	}
	return writes, nil
}

// each compares what comes, one after the other.
func each[E, G any](expected []E, stream <-chan G, compare func(E, G) error) error {
	for _, one := range expected {
		got, open := <-stream
		if !open {
			return fmt.Errorf("expected %s, but the stream has ended", short(one))
		}
		if err := compare(one, got); err != nil {
			return err
		}
	}
	return nil
}
