// SPDX-License-Identifier: Apache-2.0
'use strict';

const { AssetTransfer } = require('./lib/asset-transfer');

module.exports.contracts = [AssetTransfer];
