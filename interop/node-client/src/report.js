// SPDX-License-Identifier: Apache-2.0
//
// Runs checks one after another and counts them.

export class Report {
  #passed = 0;
  #failed = 0;

  /** A failed check is printed with its reason, and the next one still runs. */
  async check(name, body) {
    try {
      await body();
      this.#passed += 1;
      console.log(`ok      ${name}`);
    } catch (error) {
      this.#failed += 1;
      console.log(`FAILED  ${name}\n${indented(describe(error))}`);
    }
  }

  /** Prints the sum; true if nothing failed. */
  finish() {
    console.log(`${this.#passed} passed, ${this.#failed} failed`);
    return this.#failed === 0;
  }
}

function describe(error) {
  // A GatewayError carries a list of details; a bare gRPC error has a text there.
  const list = Array.isArray(error.details) ? error.details : [];
  const details = list.map((detail) => `detail of ${detail.address} (${detail.mspId}): ${detail.message}`);
  return [error.message, ...details].join('\n');
}

function indented(text) {
  return text.replace(/^/gm, '        ');
}
