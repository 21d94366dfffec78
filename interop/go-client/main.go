// SPDX-License-Identifier: Apache-2.0

// Command go-client drives asset-transfer-basic through a gateway with Fabric's official Go client; it
// exits 0 only if every check passed.
package main

import (
	"fmt"
	"os"
)

func main() {
	passed, err := drive(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
	}
	if err != nil || !passed {
		os.Exit(1)
	}
}

func drive(arguments []string) (bool, error) {
	wanted, err := readSettings(arguments)
	if err != nil {
		return false, err
	}
	gateway, err := open(wanted)
	if err != nil {
		return false, err
	}
	defer gateway.close()
	report := new(Report)
	run(report, gateway.network(wanted.Channel), wanted)
	return report.Finish(), nil
}
