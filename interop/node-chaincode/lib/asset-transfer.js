// SPDX-License-Identifier: Apache-2.0
//
// asset-transfer-basic on the official Node shim: the functions and the stored JSON of Fabric's
// sample, written so that every endorser produces the same bytes.
'use strict';

const { Contract } = require('fabric-contract-api');

const INITIAL_ASSETS = [
  asset('asset1', 'blue', 5, 'Tomoko', 300),
  asset('asset2', 'red', 5, 'Brad', 400),
  asset('asset3', 'green', 10, 'Jin Soo', 500),
  asset('asset4', 'yellow', 10, 'Max', 600),
  asset('asset5', 'black', 15, 'Adriana', 700),
  asset('asset6', 'white', 15, 'Michel', 800),
];

// The shim sends a string as it stands, and nothing at all for a function without a result.
class AssetTransfer extends Contract {
  async InitLedger(ctx) {
    for (const initial of INITIAL_ASSETS) {
      await write(ctx, initial);
    }
  }

  async CreateAsset(ctx, id, color, size, owner, appraisedValue) {
    if (await this.AssetExists(ctx, id)) {
      throw new Error(`the asset ${id} already exists`);
    }
    await write(ctx, asset(id, color, integer('size', size), owner, integer('appraised value', appraisedValue)));
  }

  async ReadAsset(ctx, id) {
    return JSON.stringify(await read(ctx, id));
  }

  async UpdateAsset(ctx, id, color, size, owner, appraisedValue) {
    await read(ctx, id);
    await write(ctx, asset(id, color, integer('size', size), owner, integer('appraised value', appraisedValue)));
  }

  async DeleteAsset(ctx, id) {
    await read(ctx, id);
    await ctx.stub.deleteState(id);
  }

  async AssetExists(ctx, id) {
    const stored = await ctx.stub.getState(id);
    return stored.length > 0;
  }

  /** Answers with the owner before the transfer. */
  async TransferAsset(ctx, id, newOwner) {
    const current = await read(ctx, id);
    await write(ctx, { ...current, Owner: newOwner });
    return current.Owner;
  }

  async GetAllAssets(ctx) {
    const assets = [];
    for await (const row of ctx.stub.getStateByRange('', '')) {
      assets.push(JSON.parse(Buffer.from(row.value).toString('utf8')));
    }
    return JSON.stringify(assets);
  }
}

// The keys stand in alphabetical order, and JSON.stringify keeps the order of insertion: so the
// stored bytes are the same on every endorser.
function asset(id, color, size, owner, appraisedValue) {
  return { AppraisedValue: appraisedValue, Color: color, ID: id, Owner: owner, Size: size };
}

function integer(what, text) {
  if (!/^-?\d+$/.test(text)) {
    throw new Error(`the ${what} must be an integer, but is ${JSON.stringify(text)}`);
  }
  return Number.parseInt(text, 10);
}

async function read(ctx, id) {
  const stored = await ctx.stub.getState(id);
  if (stored.length === 0) {
    throw new Error(`the asset ${id} does not exist`);
  }
  return JSON.parse(Buffer.from(stored).toString('utf8'));
}

async function write(ctx, value) {
  await ctx.stub.putState(value.ID, Buffer.from(JSON.stringify(value), 'utf8'));
}

module.exports.AssetTransfer = AssetTransfer;
