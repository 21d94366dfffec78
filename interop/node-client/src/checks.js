// SPDX-License-Identifier: Apache-2.0
//
// What asset-transfer-basic must do behind a gateway, seen by the official client. The codes and
// texts of the refusals are those of Fabric's own gateway.

import * as assert from 'node:assert/strict';

import { status } from '@grpc/grpc-js';
import { EndorseError, GatewayError, StatusCode } from '@hyperledger/fabric-gateway';

const INITIAL = ['asset1', 'asset2', 'asset3', 'asset4', 'asset5', 'asset6'];
const CREATED = { AppraisedValue: 1300, Color: 'yellow', ID: 'interop1', Owner: 'Tom', Size: 5 };
const UPDATED = { AppraisedValue: 200, Color: 'blue', ID: 'interop1', Owner: 'Ann', Size: 7 };

/** The network must be fresh: the checks build on one another. */
export async function run(report, network, chaincode) {
  const contract = network.getContract(chaincode);
  await lifeOfAnAsset(report, contract);
  await refusals(report, network, contract);
  await conflict(report, contract);
}

async function lifeOfAnAsset(report, contract) {
  const { evaluate, submit } = callsOf(contract);
  await report.check('InitLedger', () => submit('InitLedger'));
  await report.check('GetAllAssets after InitLedger', async () => {
    assert.deepEqual((await json(evaluate('GetAllAssets'))).map((asset) => asset.ID), INITIAL);
  });
  await report.check('ReadAsset of an initial asset', async () => {
    const expected = { AppraisedValue: 300, Color: 'blue', ID: 'asset1', Owner: 'Tomoko', Size: 5 };
    assert.deepEqual(await json(evaluate('ReadAsset', 'asset1')), expected);
  });
  await report.check('AssetExists before CreateAsset', async () => {
    assert.equal(await text(evaluate('AssetExists', CREATED.ID)), 'false');
  });
  await report.check('CreateAsset', () => submit('CreateAsset', ...argumentsOf(CREATED)));
  await report.check('ReadAsset gives the stored JSON with sorted keys', async () => {
    assert.equal(await text(evaluate('ReadAsset', CREATED.ID)), JSON.stringify(CREATED));
  });
  await report.check('AssetExists after CreateAsset', async () => {
    assert.equal(await text(evaluate('AssetExists', CREATED.ID)), 'true');
  });
  await report.check('UpdateAsset', async () => {
    await submit('UpdateAsset', ...argumentsOf(UPDATED));
    assert.deepEqual(await json(evaluate('ReadAsset', UPDATED.ID)), UPDATED);
  });
  await report.check('TransferAsset gives the owner before', async () => {
    assert.equal(await text(submit('TransferAsset', UPDATED.ID, 'Zoë')), UPDATED.Owner);
    assert.deepEqual(await json(evaluate('ReadAsset', UPDATED.ID)), { ...UPDATED, Owner: 'Zoë' });
  });
  await report.check('an evaluated TransferAsset leaves no trace', async () => {
    await evaluate('TransferAsset', 'asset2', 'Nobody');
    assert.equal((await json(evaluate('ReadAsset', 'asset2'))).Owner, 'Brad');
  });
  await report.check('DeleteAsset', async () => {
    await submit('DeleteAsset', UPDATED.ID);
    assert.equal(await text(evaluate('AssetExists', UPDATED.ID)), 'false');
    assert.deepEqual((await json(evaluate('GetAllAssets'))).map((asset) => asset.ID), INITIAL);
  });
}

async function refusals(report, network, contract) {
  const { evaluate, submit } = callsOf(contract);
  const missing = /^chaincode response 500, .*asset missing does not exist$/i;
  await report.check('evaluated ReadAsset of a missing asset is UNKNOWN with one detail', async () => {
    const error = await refusal(evaluate('ReadAsset', 'missing'));
    assert.equal(error.code, status.UNKNOWN);
    assert.match(error.cause.details, /^evaluate call to endorser returned error: chaincode response 500, /);
    assertOneDetail(error, missing);
  });
  await report.check('submitted ReadAsset of a missing asset is ABORTED with one detail', async () => {
    const error = await refusal(submit('ReadAsset', 'missing'));
    assert.ok(error instanceof EndorseError, `expected an EndorseError, not ${error.name}`);
    assert.equal(error.code, status.ABORTED);
    assert.equal(error.cause.details, 'failed to endorse transaction, see attached details for more info');
    assertOneDetail(error, missing);
  });
  await report.check('CreateAsset of an existing asset is ABORTED', async () => {
    const error = await refusal(submit('CreateAsset', 'asset1', 'blue', '5', 'Tom', '1'));
    assert.equal(error.code, status.ABORTED);
    assertOneDetail(error, /^chaincode response 500, .*asset asset1 already exists$/i);
  });
  await report.check('a chaincode that is not committed is FAILED_PRECONDITION', async () => {
    const error = await refusal(network.getContract('ghost').evaluateTransaction('ReadAsset', 'asset1'));
    assert.equal(error.code, status.FAILED_PRECONDITION);
  });
}

async function conflict(report, contract) {
  await report.check('of two transfers endorsed on the same state only the first is valid', async () => {
    const [first, second] = await Promise.all([endorsed(contract, 'asset3', 'A'), endorsed(contract, 'asset3', 'B')]);
    const before = await committed(first);
    const after = await committed(second);
    assert.equal(before.code, StatusCode.VALID);
    assert.equal(after.code, StatusCode.MVCC_READ_CONFLICT);
    assert.ok(after.blockNumber > before.blockNumber, 'the second transfer must be in a later block');
    assert.equal((await json(contract.evaluateTransaction('ReadAsset', 'asset3'))).Owner, 'A');
  });
}

function endorsed(contract, id, owner) {
  return contract.newProposal('TransferAsset', { arguments: [id, owner] }).endorse();
}

async function committed(transaction) {
  return (await transaction.submit()).getStatus();
}

function callsOf(contract) {
  return {
    evaluate: (name, ...args) => contract.evaluateTransaction(name, ...args),
    submit: (name, ...args) => contract.submitTransaction(name, ...args),
  };
}

function argumentsOf({ ID, Color, Size, Owner, AppraisedValue }) {
  return [ID, Color, String(Size), Owner, String(AppraisedValue)];
}

async function text(result) {
  return Buffer.from(await result).toString('utf8');
}

async function json(result) {
  return JSON.parse(await text(result));
}

/** The GatewayError that the call must end with. */
async function refusal(call) {
  let result;
  try {
    result = await text(call);
  } catch (error) {
    if (error instanceof GatewayError) {
      return error;
    }
    throw error;
  }
  throw new Error(`expected a refusal, but the call gave ${JSON.stringify(result)}`);
}

function assertOneDetail(error, message) {
  assert.equal(error.details.length, 1, `expected one detail, but there are ${error.details.length}`);
  const [detail] = error.details;
  assert.match(detail.message, message);
  assert.match(detail.address, /^.+:\d+$/);
  assert.match(detail.mspId, /^.+$/);
}
