// Package redis stands in for the client of Redis: every command fails. See tools/README.md in Serin's repository.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"time"
)

type UniversalOptions struct {
	Addrs                                  []string
	Username, Password                     string
	DB                                     int
	PoolSize, MinIdleConns, MaxActiveConns int
	DialTimeout, ReadTimeout, WriteTimeout time.Duration
	TLSConfig                              *tls.Config
}

type (
	Cmd          struct{}
	BoolSliceCmd struct{}
	StringCmd    struct{}
	IntCmd       struct{}
	Script       struct{}
	Scripter     interface {
		Eval(ctx context.Context, script string, keys []string, args ...any) *Cmd
	}
	UniversalClient struct{}
)

func (*Cmd) Result() (any, error) {
	return nil, errors.New("this Traefik was built for Serin's tests, without Redis")
}

func NewScript(string) *Script { return &Script{} }

func (*Script) Run(context.Context, Scripter, []string, ...any) *Cmd { return &Cmd{} }

func NewUniversalClient(*UniversalOptions) UniversalClient { return UniversalClient{} }

func (UniversalClient) Eval(context.Context, string, []string, ...any) *Cmd      { return &Cmd{} }
func (UniversalClient) EvalSha(context.Context, string, []string, ...any) *Cmd   { return &Cmd{} }
func (UniversalClient) EvalRO(context.Context, string, []string, ...any) *Cmd    { return &Cmd{} }
func (UniversalClient) EvalShaRO(context.Context, string, []string, ...any) *Cmd { return &Cmd{} }
func (UniversalClient) ScriptExists(context.Context, ...string) *BoolSliceCmd    { return &BoolSliceCmd{} }
func (UniversalClient) ScriptLoad(context.Context, string) *StringCmd            { return &StringCmd{} }
func (UniversalClient) Del(context.Context, ...string) *IntCmd                   { return &IntCmd{} }
