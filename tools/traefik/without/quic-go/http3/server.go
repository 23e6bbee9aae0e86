// Package http3 stands in for HTTP/3: it serves nothing.
package http3

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"

	"github.com/quic-go/quic-go"
)

type Server struct {
	Addr       string
	Port       int
	Handler    http.Handler
	TLSConfig  *tls.Config
	QUICConfig *quic.Config
}

var errNone = errors.New("this Traefik was built for Serin's tests, without HTTP/3")

func (*Server) Serve(net.PacketConn) error       { return errNone }
func (*Server) Close() error                     { return nil }
func (*Server) SetQUICHeaders(http.Header) error { return errNone }
