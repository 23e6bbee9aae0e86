package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/tell"
)

//go:embed templates assets
var files embed.FS

// asset is one file that pages load, with its content type and a hash of its content.
type asset struct {
	body []byte
	kind string
	hash string
}

func loadAssets() map[string]asset {
	out := map[string]asset{}
	entries, err := files.ReadDir("assets")
	if err != nil {
		panic(err) // embedded
	}
	for _, e := range entries {
		b, err := files.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err) // embedded
		}
		sum := sha256.Sum256(b)
		kind := map[string]string{
			".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
		}[path.Ext(e.Name())]
		if kind == "" {
			kind = mime.TypeByExtension(path.Ext(e.Name()))
		}
		out[e.Name()] = asset{b, kind, hex.EncodeToString(sum[:8])}
	}
	return out
}

// assetURLs returns the addresses of assets by name. An address changes with the content, so browsers may cache it forever.
func (s *site) assetURLs() map[string]string {
	out := make(map[string]string, len(s.assets))
	for name, a := range s.assets {
		out[name] = "/assets/" + name + "?v=" + a.hash
	}
	return out
}

func (s *site) asset(w http.ResponseWriter, r *http.Request) error {
	a, ok := s.assets[r.PathValue("name")]
	if !ok {
		return &httpError{http.StatusNotFound, "There is no page " + r.URL.Path}
	}
	w.Header().Set("Content-Type", a.kind)
	if r.URL.Query().Get("v") == a.hash {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(a.body) // an error means that the browser has gone
	return nil
}

// functions are what templates may call.
var functions = template.FuncMap{
	"stamp":   stamp,
	"clock":   func(t time.Time) string { return clock(t, time.Now()) },
	"for":     func(t time.Time) string { return "for " + figures.Roughly(time.Since(t)) },
	"ago":     func(t time.Time) string { return ago(t, time.Now()) },
	"iso":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"short":   shortID,
	"segment": url.PathEscape,
	"address": address,
	"lower":   strings.ToLower,
	"capital": tell.Capital,
	"counted": counted,
}

// counted writes how many there are of something: 1 look, 8 looks.
func counted(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}

// shortID is the end of a release's id: it differs from those of other releases, the beginning often does not.
func shortID(id string) string {
	if len(id) > 8 {
		return "…" + id[len(id)-6:]
	}
	return id
}

// address is a path with a query; pairs with an empty value are left out.
func address(to string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return to
	}
	return to + "?" + q.Encode()
}

// enumerate joins names: a, b or c.
func enumerate(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
