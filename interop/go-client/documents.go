// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
)

// Page is one page of a rich query's results.
type Page struct {
	IDs      []string `json:"IDs"`
	Fetched  int      `json:"Fetched"`
	Bookmark string   `json:"Bookmark"`
}

// documents asks rich queries of the assets that a batch has stored, all of one owner, and of the initial ones.
func documents(report *Report, contract Contract, stored []string, owner string) {
	descending := slices.Clone(stored)
	slices.Reverse(descending)
	report.Check(fmt.Sprintf("%d results of a rich query, in the order of its sort", len(stored)), func() error {
		return contract.evaluates(encoded(descending), "ByOwner", owner)
	})
	report.Check("a rich query that nothing matches", func() error {
		return contract.evaluates("[]", "ByOwner", "Nobody")
	})
	report.Check("pages of a rich query are its results", func() error {
		return paged(contract, descending, owner)
	})
	report.Check("a bookmark that no page gave is refused", func() error {
		_, err := contract.EvaluateTransaction("PageByOwner", owner, "10", "?")
		const text = `Error:invalid_bookmark,  Status Code:400,  Reason:Invalid bookmark value: "\?"$`
		return refused(err, codes.Unknown, "", text)
	})
}

func paged(contract Contract, expected []string, owner string) error {
	const size = 999
	var ids []string
	bookmark := ""
	for {
		var page Page
		err := contract.evaluateInto(&page, "PageByOwner", owner, fmt.Sprint(size), bookmark)
		if err != nil {
			return err
		}
		if page.Fetched != len(page.IDs) || page.Fetched > size {
			return fmt.Errorf("%d results on a page of %d that tells %d", len(page.IDs), size, page.Fetched)
		}
		if page.Fetched == 0 {
			break
		}
		ids = append(ids, page.IDs...)
		bookmark = page.Bookmark
	}
	return equal(encoded(expected), encoded(ids))
}
