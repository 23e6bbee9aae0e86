// Package log has the logger.
package log

type Logger any

var Log Logger
