// SPDX-License-Identifier: Apache-2.0
//
// Compares the answers of our rich queries, in the file that the ledger's example `mango` writes, with those of
// PouchDB. Every pair of a query and a document counts by itself. Where the two differ, a rule has to say why;
// a difference without a rule fails the run.

import { readFileSync } from 'node:fs';

import * as pouchdb from './pouchdb.js';
import { explain, RULES } from './rules.js';
import { conditions, find } from './selector.js';

/** Fewer pairs than these would prove too little. */
const ENOUGH = 10_000;

const { seed, documents, cases } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const docs = documents.flatMap(({ key, value }) => document(key, value));
const counts = { agreed: 0, matched: 0, refused: 0, sorted: 0, unexplained: 0 };
const explained = Object.fromEntries(Object.keys(RULES).map((name) => [name, 0]));

for (const { query, keys, error } of cases) {
  if (error !== undefined) {
    // PouchDB checks little of a query; that CouchDB refuses the same ones is shown elsewhere.
    counts.refused += 1;
    continue;
  }
  const { selector, sort } = JSON.parse(query);
  const matching = new Set(keys);
  for (const doc of docs.filter((doc) => isIndexed(doc, sort))) {
    comparePair(query, selector, doc, matching.has(doc._id));
  }
  if (sort?.length > 0) {
    compareOrder(query, sort, keys);
  }
}

console.log(`seed ${seed}: ${cases.length} queries, ${docs.length} documents`);
console.log(`agreed: ${counts.agreed} pairs, of which ${counts.matched} match; ${counts.sorted} sorted results`);
console.log(`refused by our side: ${counts.refused} queries`);
for (const [name, count] of Object.entries(explained)) {
  console.log(`differ by rule ${name}: ${count} pairs (${RULES[name].reason})`);
}
if (counts.unexplained > 0 || counts.agreed < ENOUGH) {
  console.log(`FAILED: ${counts.unexplained} differences without a rule, at least ${ENOUGH} agreements wanted`);
  process.exitCode = 1;
}

/** What a value is as a document with its key: nothing unless it is a JSON object. */
function document(key, value) {
  try {
    const fields = JSON.parse(value);
    return fields !== null && typeof fields === 'object' && !Array.isArray(fields) ? [{ ...fields, _id: key }] : [];
  } catch {
    return [];
  }
}

function isIndexed(doc, sort) {
  return (sort ?? []).every((spec) => find(doc, pouchdb.sortField(spec)).value !== undefined);
}

function comparePair(query, selector, doc, ours) {
  const theirs = pouchdb.matches(doc, selector);
  if (ours === theirs) {
    counts.agreed += 1;
    counts.matched += ours ? 1 : 0;
    return;
  }
  const rule = explain(selector, conditions(selector), doc);
  if (rule !== undefined) {
    explained[rule] += 1;
    return;
  }
  counts.unexplained += 1;
  console.log(`DIFFERENCE: ours ${ours}, theirs ${theirs}\n  query ${query}\n  document ${JSON.stringify(doc)}`);
}

function compareOrder(query, sort, keys) {
  const found = docs.filter((doc) => keys.includes(doc._id));
  const theirs = pouchdb.sorted(found, sort);
  if (JSON.stringify(theirs) === JSON.stringify(keys)) {
    counts.sorted += 1;
    return;
  }
  counts.unexplained += 1;
  console.log(`DIFFERENCE of order: ours ${keys}, theirs ${theirs}\n  query ${query}`);
}
