// SPDX-License-Identifier: Apache-2.0
//
// The network's description and the connection made from it.

import * as crypto from 'node:crypto';
import * as fs from 'node:fs';
import { parseArgs } from 'node:util';

import * as grpc from '@grpc/grpc-js';
import { connect, hash, signers } from '@hyperledger/fabric-gateway';

const FLAGS = {
  config: { type: 'string' },
  chaincode: { type: 'string' },
  events: { type: 'boolean', default: false },
};

/**
 * Reads the flags `--config FILE --chaincode NAME`, or the environment's SELVEDGE_INTEROP_CONFIG and
 * SELVEDGE_INTEROP_CHAINCODE, and `--events` for the checks of the contract Notices of interop/go-chaincode. The file is
 * what `selvedge up --config-out` writes; the first organisation's first peer is used, and its first user.
 */
export function settings(argv, environment) {
  const { values } = parseArgs({ args: argv, options: FLAGS });
  const file = values.config ?? environment.SELVEDGE_INTEROP_CONFIG;
  const chaincode = values.chaincode ?? environment.SELVEDGE_INTEROP_CHAINCODE;
  if (!file || !chaincode) {
    throw new Error('usage: main.js --config FILE --chaincode NAME [--events]');
  }
  const { channels, organizations } = JSON.parse(fs.readFileSync(file, 'utf8'));
  const [organization] = organizations;
  const [peer] = organization.peers;
  const user = organization.users.find(({ role }) => role === 'client');
  return {
    address: peer.address,
    serverName: peer.name,
    tlsRoots: fs.readFileSync(peer.tls_root),
    channel: channels[0],
    chaincode,
    events: values.events,
    mspId: organization.msp_id,
    certificate: fs.readFileSync(user.certificate),
    privateKey: crypto.createPrivateKey(fs.readFileSync(user.key)),
  };
}

/** A gateway over TLS, with the deadlines that Fabric's samples use. */
export function open(to) {
  const options = { 'grpc.ssl_target_name_override': to.serverName };
  const client = new grpc.Client(to.address, grpc.credentials.createSsl(to.tlsRoots), options);
  const gateway = connect({
    client,
    identity: { mspId: to.mspId, credentials: to.certificate },
    signer: signers.newPrivateKeySigner(to.privateKey),
    hash: hash.sha256,
    evaluateOptions: () => within(5),
    endorseOptions: () => within(15),
    submitOptions: () => within(5),
    commitStatusOptions: () => within(60),
  });
  const close = () => {
    gateway.close();
    client.close();
  };
  return { network: gateway.getNetwork(to.channel), close };
}

function within(seconds) {
  return { deadline: Date.now() + seconds * 1000 };
}
