// Package write has the points.
package write

type Point struct{}
