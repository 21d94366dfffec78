// SPDX-License-Identifier: Apache-2.0
//
// PouchDB's selectors and sort, with strings in the order of ICU. PouchDB by itself compares their code units, as its
// authors say the best they can do in a browser. Node brings ICU, the library that CouchDB compares strings with, and
// so the order of strings is compared with the original.

import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const collation = require('pouchdb-collate');
const selectors = require('pouchdb-selector-core');

const icu = new Intl.Collator('und');
const original = collation.collate;

/** PouchDB's order but for strings, wherever in a value they are. */
collation.collate = function collate(a, b) {
  if (typeof a === 'string' && typeof b === 'string') {
    return icu.compare(a, b);
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    return first(a.map((element, at) => [element, b[at]]).slice(0, b.length), a.length - b.length);
  }
  if (isObject(a) && isObject(b)) {
    const [left, right] = [Object.entries(a), Object.entries(b)];
    const pairs = left.slice(0, right.length).map((field, at) => [field, right[at]]);
    return first(pairs, left.length - right.length);
  }
  return original(a, b);
};

function first(pairs, otherwise) {
  return pairs.map(([a, b]) => collation.collate(a, b)).find((order) => order !== 0) ?? otherwise;
}

function isObject(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** Whether a document matches; `undefined` if PouchDB fails. */
export function matches(doc, selector) {
  try {
    return selectors.matchesSelector(doc, selector);
  } catch {
    return undefined;
  }
}

/** The keys of the documents in the order of a query's sort. */
export function sorted(docs, sort) {
  const specs = sort.map((spec) => (typeof spec === 'string' ? { [spec]: 'asc' } : spec));
  const rows = docs.map((doc) => ({ doc }));
  return selectors.filterInMemoryFields(rows, { selector: {}, sort: specs }, []).map(({ doc }) => doc._id);
}

export function sortField(spec) {
  return typeof spec === 'string' ? spec : Object.keys(spec)[0];
}
