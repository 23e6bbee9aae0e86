// Package wasi_snapshot_preview1 stands in for wasi-go's.
package wasi_snapshot_preview1

import "github.com/stealthrocket/wazergo"

type (
	Module    struct{}
	Extension struct{}
)

func NewHostModule(...Extension) wazergo.HostModule[*Module] { return wazergo.HostModule[*Module]{} }

func WithWASI(any) wazergo.Option[*Module] { return wazergo.Option[*Module]{} }
