// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// Settings are the flags and the part of the network's description that a client needs.
type Settings struct {
	// Chaincode is the name that the chaincode is committed under.
	Chaincode string `json:"-"`
	// Batches asks for the checks of the contract Batch of interop/go-chaincode, too.
	Batches bool `json:"-"`

	Channel string `json:"channel"`
	Gateway struct {
		Address    string `json:"address"`
		TLSRoot    string `json:"tls_root"`
		ServerName string `json:"server_name"`
	} `json:"gateway"`
	Identity struct {
		MSPID       string `json:"msp_id"`
		Certificate string `json:"certificate"`
		Key         string `json:"key"`
	} `json:"identity"`
}

// readSettings reads the flags and the file they name. Paths inside the file are relative to its folder.
func readSettings(arguments []string) (*Settings, error) {
	settings := new(Settings)
	flags := flag.NewFlagSet("go-client", flag.ContinueOnError)
	file := flags.String("config", "", "the network's description, a `FILE` of JSON")
	flags.StringVar(&settings.Chaincode, "chaincode", "", "the `NAME` that the chaincode is committed under")
	flags.BoolVar(&settings.Batches, "batches", false, "check the contract Batch, too")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	if *file == "" || settings.Chaincode == "" || flags.NArg() > 0 {
		return nil, errors.New("usage: go-client --config FILE --chaincode NAME [--batches]")
	}
	content, err := os.ReadFile(*file)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(content, settings); err != nil {
		return nil, fmt.Errorf("%s: %w", *file, err)
	}
	paths := []*string{&settings.Gateway.TLSRoot, &settings.Identity.Certificate, &settings.Identity.Key}
	for _, path := range paths {
		if !filepath.IsAbs(*path) {
			*path = filepath.Join(filepath.Dir(*file), *path)
		}
	}
	return settings, nil
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
	pem, err := os.ReadFile(to.Gateway.TLSRoot)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", to.Gateway.TLSRoot)
	}
	tls := credentials.NewClientTLSFromCert(roots, to.Gateway.ServerName)
	transport, err := grpc.NewClient("dns:///"+to.Gateway.Address, grpc.WithTransportCredentials(tls))
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
	pem, err := os.ReadFile(to.Identity.Certificate)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := identity.CertificateFromPEM(pem)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", to.Identity.Certificate, err)
	}
	user, err := identity.NewX509Identity(to.Identity.MSPID, certificate)
	if err != nil {
		return nil, nil, err
	}
	pem, err = os.ReadFile(to.Identity.Key)
	if err != nil {
		return nil, nil, err
	}
	key, err := identity.PrivateKeyFromPEM(pem)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", to.Identity.Key, err)
	}
	sign, err := identity.NewPrivateKeySign(key)
	return user, sign, err
}
