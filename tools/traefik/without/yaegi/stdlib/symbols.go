// Package stdlib has no symbols: nothing interprets them.
package stdlib

import "reflect"

var Symbols = map[string]map[string]reflect.Value{}
