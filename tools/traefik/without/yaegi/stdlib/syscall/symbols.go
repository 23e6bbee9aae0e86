// Package syscall has no symbols: nothing interprets them.
package syscall

import "reflect"

var Symbols = map[string]map[string]reflect.Value{}
