// Package unsafe has no symbols: nothing interprets them.
package unsafe

import "reflect"

var Symbols = map[string]map[string]reflect.Value{}
