// SPDX-License-Identifier: Apache-2.0
//
// Where PouchDB 9 is known to answer otherwise than CouchDB. Each rule says of a query and a document whether it
// applies to them; it is asked only when the answers differ. What CouchDB does in each case was read from its code and
// is recorded in `crates/ledger/tests/couchdb`.

import { find } from './selector.js';

const isObject = (value) => value !== null && typeof value === 'object';

const any = (operators, test = () => true) => (all, doc) =>
  all.some((condition) => operators.includes(condition.operator) && test(condition, doc));

const at = (condition, doc) => find(doc, condition.path);

/** By name: `applies(conditions, document)`, and what PouchDB does. */
export const RULES = {
  'unknown-operator': {
    reason: 'PouchDB knows neither $keyMapMatch nor $beginsWith, and no $and, $or, $nor and $not below a field',
    applies: (all) =>
      any(['$keyMapMatch', '$beginsWith'])(all) || any(['$and', '$or', '$nor', '$not'], ({ below }) => below)(all),
  },
  'merged-and': {
    reason: 'PouchDB merges the members of $and and of $not into one, and loses conditions',
    applies: any(['$and', '$not']),
  },
  'not-one-of': {
    reason: 'PouchDB takes an array behind $ne for several values',
    applies: any(['$ne'], ({ argument }) => Array.isArray(argument)),
  },
  'empty-alternatives': {
    reason: 'an empty $or matches anything in CouchDB, and as a whole selector nothing',
    applies: any(['$or', '$nor'], ({ argument }) => Array.isArray(argument) && argument.length === 0),
  },
  'bare-value': {
    reason: 'PouchDB takes a bare array, object or null, and an object of fields, for operators',
    applies: (all, doc, selector) =>
      any(['bare'], ({ argument }) => isObject(argument) || argument === null)(all, doc) || isNested(selector),
  },
  'negated-absence': {
    reason: 'what a document lacks matches a negation in PouchDB',
    applies: (all, doc) =>
      any(['$nor', '$ne', '$nin', '$not'])(all) && all.some((condition) => at(condition, doc).value === undefined),
  },
  'no-path': {
    reason: 'PouchDB stops at the first empty value of a path and takes strings for arrays',
    applies: (all, doc) => all.some((condition) => at(condition, doc).noPath),
  },
  'null-in': {
    reason: 'null is among no values of $in and $nin in PouchDB',
    applies: any(['$in', '$nin'], (condition, doc) => at(condition, doc).value === null),
  },
  'all-exactly': {
    reason: '$all compares to the byte in CouchDB, takes one list for the whole, and an empty one for nothing',
    applies: any(['$all']),
  },
  'kinds-of-elements': {
    reason: 'PouchDB judges by the first element of an array whether $elemMatch and $allMatch look at fields',
    applies: any(['$elemMatch', '$allMatch']),
  },
  'regular-expressions': {
    reason: 'PouchDB has those of JavaScript: no (?i), and characters of UTF-16 in place of bytes',
    applies: any(['$regex'], (condition, doc) => {
      const { value } = at(condition, doc);
      return condition.argument.includes('(?') || (typeof value === 'string' && /[^\x00-\x7f]/.test(value));
    }),
  },
};

/** The name of the first rule that applies. */
export function explain(selector, all, doc) {
  return Object.keys(RULES).find((name) => RULES[name].applies(all, doc, selector));
}

/** Whether a field's condition is an object that has fields in it. */
function isNested(selector) {
  return Object.entries(selector).some(([name, argument]) => {
    if (Array.isArray(argument)) {
      return argument.some((member) => isObject(member) && isNested(member));
    }
    if (!isObject(argument)) {
      return false;
    }
    const below = Object.keys(argument).some((inner) => !inner.startsWith('$'));
    return name.startsWith('$') ? isNested(argument) : below || Object.keys(argument).length === 0;
  });
}
