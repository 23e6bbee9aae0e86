package server

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// origin determines where a request comes from, and whether the caller uses TLS, to this server or to a trusted proxy
// in front of it. Trusted senders are the proxies that the configuration names and the other daemons of this
// deployment, which share a word. Headers from anyone else are ignored.
type origin struct {
	peers    string // the word; empty where there is none
	proxies  Proxies
	external string // where people reach this server
}

// peerWord is the word by which daemons that share the key of sessions know each other.
func peerWord(key []byte) string {
	if len(key) == 0 {
		return ""
	}
	word, err := hkdf.Key(sha256.New, key, nil, "serin forwarded", 32)
	if err != nil {
		return "" // then no peer is trusted
	}
	return base64.RawURLEncoding.EncodeToString(word)
}

// of returns who asks, as the audit log shows it: an address, or that of a proxy "for" another one.
func (o origin) of(r *http.Request) (remote string, secure bool) {
	secure = r.TLS != nil || o.isExternal(r)
	peer := o.peers != "" && hmac.Equal([]byte(r.Header.Get(forwardedHeader)), []byte(o.peers))
	if !peer && !o.proxies.has(r.RemoteAddr) {
		return r.RemoteAddr, secure
	}
	said := r.Header.Values("X-Forwarded-Proto")
	secure = secure || len(said) > 0 && strings.EqualFold(lastOf(said[len(said)-1]), "https")
	if client, ok := o.client(r.Header.Values("X-Forwarded-For")); ok {
		return r.RemoteAddr + " for " + client, secure
	}
	return r.RemoteAddr, secure
}

// client returns the last forwarded address that is not one of our proxies. The client may have made up whatever
// precedes that one.
func (o origin) client(headers []string) (string, bool) {
	all := strings.Split(strings.Join(headers, ","), ",")
	for i, header := range slices.Backward(all) {
		ip, err := netip.ParseAddr(strings.TrimSpace(header))
		if err != nil {
			return "", false
		}
		if text := ip.Unmap().WithZone("").String(); i == 0 || !o.proxies.has(text) {
			return text, true
		}
	}
	return "", false
}

func lastOf(list string) string {
	return strings.TrimSpace(list[strings.LastIndexByte(list, ',')+1:])
}

// isExternal tells whether the address that people use, and this caller has used, is one with TLS.
func (o origin) isExternal(r *http.Request) bool {
	u, err := url.Parse(o.external)
	return err == nil && u.Scheme == "https" && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// Secure reports whether the caller uses TLS, to this server or to a trusted proxy.
func Secure(r *http.Request) bool {
	known, _ := r.Context().Value(keyRequest).(request)
	return r.TLS != nil || known.secure
}
