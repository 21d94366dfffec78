// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// Report runs checks one after another and counts them.
type Report struct {
	passed, failed int
}

// Check prints a failure with its reason, and the next check still runs.
func (report *Report) Check(name string, body func() error) {
	if err := body(); err != nil {
		report.failed++
		fmt.Printf("FAILED  %s\n        %s\n", name, strings.ReplaceAll(err.Error(), "\n", "\n        "))
		return
	}
	report.passed++
	fmt.Printf("ok      %s\n", name)
}

// Finish prints the sum; true if nothing failed.
func (report *Report) Finish() bool {
	fmt.Printf("%d passed, %d failed\n", report.passed, report.failed)
	return report.failed == 0
}
