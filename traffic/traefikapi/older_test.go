package traefikapi_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/traffic/traefikapi"
)

// Everybody who comes from Traefik 2 has rules like these. The form that the error suggests is one that Traefik 3 accepts.
func TestARuleOfTraefik2IsRefusedWithTheOneOfTraefik3(t *testing.T) {
	for rule, write := range map[string]string{
		"Host(`a.example.com`, `b.example.com`) && PathPrefix(`/api`, `/v2`)": "(Host(`a.example.com`) || Host(`b.example.com`)) && (PathPrefix(`/api`) || PathPrefix(`/v2`))",
		"PathPrefix('/')":                                  "PathPrefix(`/`)",
		"Host('shop.example.com') && !Path('/x')":          "Host(`shop.example.com`) && !Path(`/x`)",
		"HostRegexp(`{sub:[a-z]+}.example.com`)":           "HostRegexp(`^[a-z]+\\.example\\.com$`)",
		"HostRegexp(`example.com`, `{sub:.*}.a.com`)":      "(HostRegexp(`example.com`) || HostRegexp(`^.*\\.a\\.com$`))",
		"Path(`/products/{id:[0-9]{2,3}}`)":                "PathRegexp(`^/products/[0-9]{2,3}$`)",
		"PathPrefix(`/{tenant:[a-z]+}/api`)":               "PathRegexp(`^/[a-z]+/api`)",
		"Headers(`X-Group`, `beta`)":                       "Header(`X-Group`, `beta`)",
		"HeadersRegexp(`X-Group`, `b.*`) || Host(`a.com`)": "HeaderRegexp(`X-Group`, `b.*`) || Host(`a.com`)",
		"Query(`mode=beta`)":                               "Query(`mode`, `beta`)",
		"HostHeader(`a.com`)":                              "Host(`a.com`)",
		"Method(`GET`, `POST`)":                            "(Method(`GET`) || Method(`POST`))",
	} {
		err := traefikapi.CheckRule(rule)
		require.ErrorContains(t, err, "is not as Traefik 3 takes it. Write "+write, rule)
		require.NoError(t, traefikapi.CheckRule(write), "the advice is taken")
	}
	for _, rule := range []string{
		"Host(`a.com`)", "Host(\"a.com\") && PathPrefix(`/x`)", "HostRegexp(`^[a-z]{2,3}\\.a\\.com$`)", "(Host(`a.com`)  ||  Host(`b.com`))", "Query(`a`, `b`)",
		"Header(`X`, `it's`)", "PathRegexp(`^/[0-9]{2}$`)", "!Host(`a.com`)", "HostRegexp(`.+`)",
	} {
		require.NoError(t, traefikapi.CheckRule(rule), rule)
	}
	for rule, says := range map[string]string{
		"Host(`a.example.com` && (((": "expected", "Hots(`a`)": "Hots", "Host(`a`) + Host(`b`)": "not supported", "Host()": "Host", "'": "rule",
	} {
		require.ErrorContains(t, traefikapi.CheckRule(rule), says, rule)
	}
}

func FuzzCheckRule(f *testing.F) {
	for _, s := range []string{"Host(`a`, `b`)", "PathPrefix('/')", "HostRegexp(`{a:{}}`)", "Query()", "Path(`{`)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, rule string) {
		if traefikapi.CheckRule(rule) == nil {
			require.NoError(t, traefikapi.ParseRule(rule))
		}
	})
}
