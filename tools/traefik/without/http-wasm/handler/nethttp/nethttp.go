// Package wasm stands in for WebAssembly plugins: it makes none.
package wasm

import (
	"context"
	"errors"
	"net/http"

	"github.com/http-wasm/http-wasm-host-go/handler"
)

type Middleware interface {
	NewHandler(ctx context.Context, next http.Handler) http.Handler
	Close(ctx context.Context) error
}

func NewMiddleware(context.Context, []byte, ...handler.Option) (Middleware, error) {
	return nil, errors.New("this Traefik was built for Serin's tests, without plugins")
}
