// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Asset is what the sample stores.
type Asset struct {
	AppraisedValue int    `json:"AppraisedValue"`
	Color          string `json:"Color"`
	ID             string `json:"ID"`
	Owner          string `json:"Owner"`
	Size           int    `json:"Size"`
}

func (asset Asset) arguments() []string {
	return []string{asset.ID, asset.Color, strconv.Itoa(asset.Size), asset.Owner, strconv.Itoa(asset.AppraisedValue)}
}

// Contract adds what the checks ask of the official client's contract.
type Contract struct {
	*client.Contract
}

func (contract Contract) submit(name string, arguments ...string) error {
	_, err := contract.SubmitTransaction(name, arguments...)
	return err
}

func (contract Contract) submits(expected string, name string, arguments ...string) error {
	result, err := contract.SubmitTransaction(name, arguments...)
	return first(err, func() error { return equal(expected, string(result)) })
}

func (contract Contract) evaluates(expected string, name string, arguments ...string) error {
	result, err := contract.EvaluateTransaction(name, arguments...)
	return first(err, func() error { return equal(expected, string(result)) })
}

// stores tells that exactly this asset is on the ledger.
func (contract Contract) stores(expected Asset) error {
	var stored Asset
	err := contract.evaluateInto(&stored, "ReadAsset", expected.ID)
	return first(err, func() error { return equal(expected, stored) })
}

func (contract Contract) ownedBy(id string, owner string) error {
	var stored Asset
	err := contract.evaluateInto(&stored, "ReadAsset", id)
	return first(err, func() error { return equal(owner, stored.Owner) })
}

// holds tells that these are the assets on the ledger.
func (contract Contract) holds(expected []string) error {
	var assets []Asset
	if err := contract.evaluateInto(&assets, "GetAllAssets"); err != nil {
		return err
	}
	var ids []string
	for _, asset := range assets {
		ids = append(ids, asset.ID)
	}
	if !slices.Equal(ids, expected) {
		return fmt.Errorf("expected %v, but got %v", expected, ids)
	}
	return nil
}

func (contract Contract) evaluateInto(value any, name string, arguments ...string) error {
	result, err := contract.EvaluateTransaction(name, arguments...)
	return first(err, func() error { return json.Unmarshal(result, value) })
}

func (contract Contract) endorsed(name string, arguments ...string) (*client.Transaction, error) {
	proposal, err := contract.NewProposal(name, client.WithArguments(arguments...))
	if err != nil {
		return nil, err
	}
	return proposal.Endorse()
}

func committed(transaction *client.Transaction) (*client.Status, error) {
	commit, err := transaction.Submit()
	if err != nil {
		return nil, err
	}
	return commit.Status()
}

// refused tells that the call ended with the code, a text like `message`, and one detail like each of
// `details` with the endorser's address and organisation.
func refused(err error, code codes.Code, message string, details ...string) error {
	if err == nil {
		return errors.New("expected a refusal, but the call succeeded")
	}
	// The official errors wrap the status; status.FromError would put their own words before its text.
	var carrier interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &carrier) {
		return fmt.Errorf("expected a gRPC status: %w", err)
	}
	refusal := carrier.GRPCStatus()
	if refusal.Code() != code {
		return fmt.Errorf("expected %v, but got %v: %w", code, refusal.Code(), err)
	}
	if err := like(message, refusal.Message()); err != nil {
		return err
	}
	if len(details) > 0 && len(refusal.Details()) != len(details) {
		return fmt.Errorf("expected %d details, but got %d: %w", len(details), len(refusal.Details()), err)
	}
	for index, pattern := range details {
		detail, is := refusal.Details()[index].(*gateway.ErrorDetail)
		if !is {
			return fmt.Errorf("expected an ErrorDetail, not %T", refusal.Details()[index])
		}
		mismatch := errors.Join(
			like(pattern, detail.GetMessage()),
			like(`^.+:\d+$`, detail.GetAddress()),
			like(`^.+$`, detail.GetMspId()),
		)
		if mismatch != nil {
			return mismatch
		}
	}
	return nil
}

func like(pattern string, text string) error {
	if !regexp.MustCompile(pattern).MatchString(text) {
		return fmt.Errorf("expected a text like %s, but got %q", pattern, text)
	}
	return nil
}

func equal[T comparable](expected T, got T) error {
	if expected != got {
		return fmt.Errorf("expected %s, but got %s", short(expected), short(got))
	}
	return nil
}

// first runs the next step unless there is an error already.
func first(err error, next func() error) error {
	if err != nil {
		return err
	}
	return next()
}

// encoded cannot fail: what is given is made of texts and numbers.
func encoded(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func short(value any) string {
	const limit = 500
	text := fmt.Sprintf("%+v", value)
	if len(text) > limit {
		text = text[:limit] + "…"
	}
	return text
}
