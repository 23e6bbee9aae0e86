// Package api has the logger of WebAssembly plugins. See tools/README.md in Serin's repository.
package api

import "context"

type LogLevel int32

type Logger interface {
	IsEnabled(level LogLevel) bool
	Log(ctx context.Context, level LogLevel, message string)
}
