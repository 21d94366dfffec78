// SPDX-License-Identifier: Apache-2.0
//
// Drives asset-transfer-basic through a gateway; exits 0 only if every check passed.

import { run } from './checks.js';
import { open, settings } from './connection.js';
import { follow } from './events.js';
import { Report } from './report.js';

const wanted = settings(process.argv.slice(2), process.env);
const { network, close } = open(wanted);
const report = new Report();
try {
  await run(report, network, wanted.chaincode);
  if (wanted.events) {
    await follow(report, network, wanted.chaincode);
  }
} finally {
  close();
}
process.exitCode = report.finish() ? 0 : 1;
