// SPDX-License-Identifier: Apache-2.0
//
// Following a channel in the ways of the official client, as in interop/go-client. Needs the contract Notices of
// interop/go-chaincode, and that nobody else sends transactions: each one has a block of its own.

import * as assert from 'node:assert/strict';

import { StatusCode, checkpointers } from '@hyperledger/fabric-gateway';

/** Where the contract Notices keeps texts. */
const COLLECTION = 'notices';

/** The index of the validation codes in a block's metadata. */
const TRANSACTIONS_FILTER = 2;

/** Only ends what hangs. */
const PATIENCE = 60_000;

export async function follow(report, network, chaincode) {
  const contract = network.getContract(chaincode, 'Notices');
  const notices = [];
  await report.check('transactions that set events', async () => {
    for (const name of ['first', 'second', 'third']) {
      notices.push(await announce(contract, name, `the text of ${name}`));
    }
  });
  const [first] = notices;
  if (notices.length !== 3) {
    return;
  }
  const start = { startBlock: first.block };
  const heard = (events, count) => taken(events, count, noticeOf);
  await report.check('chaincode events from a block on', async () => {
    assert.deepEqual(await heard(await network.getChaincodeEvents(chaincode, start), 3), notices);
  });
  await report.check('chaincode events go on after a checkpoint', async () => {
    const checkpoint = checkpointers.inMemory();
    await checkpoint.checkpointTransaction(first.block, first.transactionId);
    assert.deepEqual(await heard(await network.getChaincodeEvents(chaincode, { checkpoint }), 2), notices.slice(1));
  });
  await report.check('chaincode events of a block that is yet to come', async () => {
    const before = await announce(contract, 'before', 'a text');
    const events = await network.getChaincodeEvents(chaincode, { startBlock: before.block + 1n });
    const after = await announce(contract, 'after', 'another text');
    assert.deepEqual(await heard(events, 1), [after]);
  });
  await report.check('whole blocks', async () => {
    const expected = notices.map(({ block }) => [Number(block), 1, [StatusCode.VALID]]);
    assert.deepEqual(await taken(await network.getBlockEvents(start), 3, wholeOf), expected);
  });
  await report.check('filtered blocks, whose events have no payloads', async () => {
    const expected = notices.map(({ block, name, transactionId }) => [
      [Number(block), transactionId, StatusCode.VALID, name, ''],
    ]);
    assert.deepEqual(await taken(await network.getFilteredBlockEvents(start), 3, filteredOf), expected);
  });
  await report.check('blocks with private data', async () => {
    const written = await taken(await network.getBlockAndPrivateDataEvents(start), 3, privateOf);
    assert.equal(written.length, notices.length);
    for (const [index, { block, name, text }] of notices.entries()) {
      const { number, namespace, collection, bytes } = written[index];
      assert.deepEqual([number, namespace, collection], [Number(block), chaincode, COLLECTION]);
      assert.ok(bytes.includes(name) && bytes.includes(text), `${name} is not in ${bytes}`);
    }
  });
}

/** An event that a committed transaction has set, whose text is private data, too. */
async function announce(contract, name, text) {
  const transaction = await contract.newProposal('Announce', { arguments: [name, text] }).endorse();
  const status = await (await transaction.submit()).getStatus();
  assert.equal(status.code, StatusCode.VALID);
  return { name, text, transactionId: status.transactionId, block: status.blockNumber };
}

function noticeOf({ eventName, payload, transactionId, blockNumber }) {
  return { name: eventName, text: Buffer.from(payload).toString('utf8'), transactionId, block: blockNumber };
}

function wholeOf(block) {
  const flags = block.getMetadata().getMetadataList_asU8()[TRANSACTIONS_FILTER];
  return [block.getHeader().getNumber(), block.getData().getDataList().length, [...flags]];
}

function filteredOf(block) {
  return block.getFilteredTransactionsList().flatMap((transaction) =>
    transaction
      .getTransactionActions()
      .getChaincodeActionsList()
      .map((action) => {
        const event = action.getChaincodeEvent();
        const payload = Buffer.from(event.getPayload_asU8()).toString('utf8');
        const code = transaction.getTxValidationCode();
        return [block.getNumber(), transaction.getTxid(), code, event.getEventName(), payload];
      }),
  );
}

/** The one collection that the block's first transaction has written. */
function privateOf(block) {
  const [namespace] = block.getPrivateDataMapMap().get(0).getNsPvtRwsetList();
  const [collection] = namespace.getCollectionPvtRwsetList();
  return {
    number: block.getBlock().getHeader().getNumber(),
    namespace: namespace.getNamespace(),
    collection: collection.getCollectionName(),
    bytes: Buffer.from(collection.getRwset_asU8()),
  };
}

/** So many of what a stream gives, which is closed then. */
async function taken(stream, count, read) {
  const timer = setTimeout(() => stream.close(), PATIENCE);
  const items = [];
  try {
    for await (const item of stream) {
      items.push(read(item));
      if (items.length === count) {
        break;
      }
    }
  } finally {
    clearTimeout(timer);
    stream.close();
  }
  return items;
}
