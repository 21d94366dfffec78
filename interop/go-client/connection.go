// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// Settings are the flags and what a client needs of the network's description.
type Settings struct {
	// Chaincode is the name that the chaincode is committed under.
	Chaincode string
	// Batches asks for the checks of the contracts Batch and Documents of interop/go-chaincode, too.
	Batches bool
	// Events asks for the checks of the contract Notices there, too.
	Events bool

	Channel string
	MSPID   string
	Peer    Peer
	User    User
}

// Peer is where a gateway listens.
type Peer struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	TLSRoot string `json:"tls_root"`
}

// User is somebody who signs.
type User struct {
	Role        string `json:"role"`
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

// description is the part that a client needs of what `selvedge up --config-out` writes.
type description struct {
	Channels      []string `json:"channels"`
	Organizations []struct {
		MSPID string `json:"msp_id"`
		Peers []Peer `json:"peers"`
		Users []User `json:"users"`
	} `json:"organizations"`
}

// readSettings reads the flags and the file they name.
func readSettings(arguments []string) (*Settings, error) {
	settings := new(Settings)
	flags := flag.NewFlagSet("go-client", flag.ContinueOnError)
	file := flags.String("config", "", "the network's description, a `FILE` of JSON")
	flags.StringVar(&settings.Chaincode, "chaincode", "", "the `NAME` that the chaincode is committed under")
	flags.BoolVar(&settings.Batches, "batches", false, "check the contracts Batch and Documents, too")
	flags.BoolVar(&settings.Events, "events", false, "check the contract Notices, too")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	if *file == "" || settings.Chaincode == "" || flags.NArg() > 0 {
		return nil, errors.New("usage: go-client --config FILE --chaincode NAME [--batches] [--events]")
	}
	content, err := os.ReadFile(*file)
	if err != nil {
		return nil, err
	}
	described := new(description)
	if err := json.Unmarshal(content, described); err != nil {
		return nil, fmt.Errorf("%s: %w", *file, err)
	}
	if err := settings.choose(described); err != nil {
		return nil, fmt.Errorf("%s: %w", *file, err)
	}
	return settings, nil
}

// choose takes the first channel, and the first organization's first peer and first user.
func (to *Settings) choose(described *description) error {
	if len(described.Channels) == 0 || len(described.Organizations) == 0 {
		return errors.New("it has no channel or no organization")
	}
	organization := described.Organizations[0]
	isClient := func(user User) bool { return user.Role == "client" }
	user := slices.IndexFunc(organization.Users, isClient)
	if len(organization.Peers) == 0 || user < 0 {
		return errors.New("its first organization has no peer or no user")
	}
	to.Channel, to.MSPID = described.Channels[0], organization.MSPID
	to.Peer, to.User = organization.Peers[0], organization.Users[user]
	return nil
}

// connection is a gateway together with what it stands on.
type connection struct {
	gateway   *client.Gateway
	transport *grpc.ClientConn
}

// open makes a gateway over TLS, with the deadlines that Fabric's samples use. It connects at the first call.
func open(to *Settings) (*connection, error) {
	user, sign, err := signer(to)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(to.Peer.TLSRoot)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", to.Peer.TLSRoot)
	}
	tls := credentials.NewClientTLSFromCert(roots, to.Peer.Name)
	transport, err := grpc.NewClient("dns:///"+to.Peer.Address, grpc.WithTransportCredentials(tls))
	if err != nil {
		return nil, err
	}
	gateway, err := client.Connect(
		user,
		client.WithSign(sign),
		client.WithClientConnection(transport),
		client.WithEvaluateTimeout(5*time.Second),
		client.WithEndorseTimeout(15*time.Second),
		client.WithSubmitTimeout(5*time.Second),
		client.WithCommitStatusTimeout(time.Minute),
	)
	if err != nil {
		return nil, errors.Join(err, transport.Close())
	}
	return &connection{gateway, transport}, nil
}

func (open *connection) network(channel string) *client.Network {
	return open.gateway.GetNetwork(channel)
}

// close leaves errors alone: whatever mattered was checked before.
func (open *connection) close() {
	_ = open.gateway.Close()
	_ = open.transport.Close()
}

func signer(to *Settings) (*identity.X509Identity, identity.Sign, error) {
	pem, err := os.ReadFile(to.User.Certificate)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := identity.CertificateFromPEM(pem)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", to.User.Certificate, err)
	}
	user, err := identity.NewX509Identity(to.MSPID, certificate)
	if err != nil {
		return nil, nil, err
	}
	pem, err = os.ReadFile(to.User.Key)
	if err != nil {
		return nil, nil, err
	}
	key, err := identity.PrivateKeyFromPEM(pem)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", to.User.Key, err)
	}
	sign, err := identity.NewPrivateKeySign(key)
	return user, sign, err
}
