// SPDX-License-Identifier: Apache-2.0
//
// What a selector asks of which field, and what a document has there, by CouchDB's rules. Only the rules that explain
// differences look at it.

/** All conditions of a selector as `{ path, operator, argument, below }`; `below` tells those below a field. */
export function conditions(selector, path = [], below = false) {
  if (selector === null || typeof selector !== 'object' || Array.isArray(selector)) {
    return [{ path, operator: 'bare', argument: selector, below }];
  }
  const members = Object.entries(selector);
  if (members.length === 0) {
    return [{ path, operator: 'bare', argument: selector, below }];
  }
  return members.flatMap(([name, argument]) => {
    if (['$and', '$or', '$nor'].includes(name)) {
      const inner = Array.isArray(argument) ? argument.flatMap((member) => conditions(member, path, below)) : [];
      return [{ path, operator: name, argument, below }, ...inner];
    }
    if (name === '$not') {
      return [{ path, operator: name, argument, below }, ...conditions(argument, path, below)];
    }
    if (name.startsWith('$')) {
      return [{ path, operator: name, argument, below }];
    }
    return conditions(argument, [...path, ...parts(name)], true);
  });
}

/** The names that a field's name is made of. */
export function parts(name) {
  return name.split(/(?<!\\)\./).map((part) => part.replaceAll('\\', ''));
}

/** The value at a path, or whether a field is `missing` or there is `noPath`. */
export function find(doc, path) {
  let at = doc;
  for (const name of typeof path === 'string' ? parts(path) : path) {
    if (Array.isArray(at)) {
      if (!/^[+-]?\d+$/.test(name) || at[Number(name)] === undefined) {
        return { noPath: true };
      }
      at = at[Number(name)];
    } else if (at !== null && typeof at === 'object') {
      if (!Object.hasOwn(at, name)) {
        return { missing: true };
      }
      at = at[name];
    } else {
      return { noPath: true };
    }
  }
  return { value: at };
}
