// Package spelling answers the question which known word was probably meant by an unknown one.
package spelling

import "strings"

// Nearest finds the candidate that was probably meant; ok is false if none is near.
func Nearest(word string, candidates []string) (best string, ok bool) {
	most := 1 + len(word)/4
	for _, c := range candidates {
		d := Distance(strings.ToLower(word), strings.ToLower(c))
		if d <= most && (!ok || d < Distance(strings.ToLower(word), strings.ToLower(best))) {
			best, ok = c, true
		}
	}
	return best, ok
}

// Distance is the number of characters to insert, remove, change or swap with their neighbour to get from a to b
// (optimal string alignment). It costs O(len(a)·len(b)) and gives up on words longer than any field's name.
func Distance(a, b string) int {
	const longest = 40
	if len(a) > longest || len(b) > longest {
		return longest
	}
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
