package traefikapi_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/traffic/traefikapi"
)

// advises requires that a rule is refused, and that the rule suggested in its place is accepted.
func advises(t *testing.T, rule, why, write string) {
	t.Helper()
	require.ErrorContains(t, traefikapi.CheckRule(rule), why+"Write "+write, rule)
	require.NoError(t, traefikapi.CheckRule(write), "the suggested rule is accepted")
}

// Everybody who comes from Traefik 2 has rules like these. Traefik 3 accepts what the error suggests.
func TestTheErrorAboutARuleOfTraefik2HasTheRuleOfTraefik3(t *testing.T) {
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
		advises(t, rule, "is not as Traefik 3 takes it. ", write)
	}
	for _, rule := range []string{
		"Host(`a.com`)", "Host(\"a.com\") && PathPrefix(`/x`)", "HostRegexp(`^[a-z]{2,3}\\.a\\.com$`)", "(Host(`a.com`)  ||  Host(`b.com`))", "Query(`a`, `b`)",
		"Header(`X`, `it's`)", "PathRegexp(`^/[0-9]{2}$`)", "!Host(`a.com`)", "HostRegexp(`.+`)",
	} {
		require.NoError(t, traefikapi.CheckRule(rule), rule)
	}
	for rule, says := range map[string]string{
		"Host(`a.example.com` && (((": "expected", "Path(`*.js`)": "does not start with a '/'", "Hots(`a`)": "Hots", "Host(`a`) + Host(`b`)": "not supported", "Host()": "Host", "'": "rule",
	} {
		require.ErrorContains(t, traefikapi.CheckRule(rule), says, rule)
	}
}

// Traefik accepts each of these rules, but none of them ever gets a request.
func TestTheErrorAboutARuleThatMatchesNothingHasTheIntendedOne(t *testing.T) {
	for rule, write := range map[string]string{
		"Host(`*.example.com`)":                           "HostRegexp(`^[^.]+\\.example\\.com$`)",
		"host(`shop-*.Example.com`) && PathPrefix(`/x`)":  "HostRegexp(`^shop-[^.]+\\.example\\.com$`) && PathPrefix(`/x`)",
		"Host(`**.example.com`) || Host(`a.example.com`)": "HostRegexp(`^.+\\.example\\.com$`) || Host(`a.example.com`)",
		"Host(`*`)":                         "HostRegexp(`^.+$`)",
		"HostRegexp(`*.example.com`)":       "HostRegexp(`^[^.]+\\.example\\.com$`)",
		"Host(`*.a.com`, `*.b.com`)":        "(HostRegexp(`^[^.]+\\.a\\.com$`) || HostRegexp(`^[^.]+\\.b\\.com$`))",
		"Host(`localhost:8080`)":            "Host(`localhost`)",
		"!Host(`https://a.com/`)":           "!Host(`a.com`)",
		"!Host(`a.com/api`)":                "!(Host(`a.com`) && PathPrefix(`/api`))",
		"Host(`[::1]`)":                     "Host(`::1`)",
		"PathPrefix(`/api/*`)":              "PathPrefix(`/api/`)",
		"Path(`/*`) && Method(`GET`)":       "PathPrefix(`/`) && Method(`GET`)",
		"Path(`/a/*/b`)":                    "PathRegexp(`^/a/[^/]+/b$`)",
		"PathPrefix(`/a/*/b`)":              "PathRegexp(`^/a/[^/]+/b`)",
		"Host(` a.com`)":                    "Host(`a.com`)",
		"HostRegexp(`*\\.example\\.com`)":   "HostRegexp(`.*\\.example\\.com`)",
		"Header(`host`, `a.com`)":           "Host(`a.com`)",
		"HeaderRegexp(`Host`, `^a\\.com$`)": "HostRegexp(`^a\\.com$`)",
	} {
		advises(t, rule, "", write)
	}
	for _, rule := range []string{"Host(`::1`)", "Host(`10.0.0.1`)", "Host(`a_b.example.com.`)", "Header(`X-Forwarded-Host`, `a.com`)", "HeaderRegexp(`X`, `.*`)", "PathRegexp(`^/a.*`)", "Query(`a`, `*`)"} {
		require.NoError(t, traefikapi.CheckRule(rule), rule)
	}
}

func TestTheErrorAboutARuleInAnotherLanguageHasTheIntendedOne(t *testing.T) {
	for rule, write := range map[string]string{
		"Host(`a.com`)\n|| Host(`b.com`)":                    "Host(`a.com`) || Host(`b.com`)",
		"Host(`a.com`) and PathPrefix(`/x`) OR Path(`/`)":    "Host(`a.com`) && PathPrefix(`/x`) || Path(`/`)",
		"HostSNI(`a.com`) && PathPrefix(`/x`)":               "Host(`a.com`) && PathPrefix(`/x`)",
		"Header(`X`, `a and b`) and Header(`Y`, \"c or d\")": "Header(`X`, `a and b`) && Header(`Y`, \"c or d\")",
	} {
		advises(t, rule, "", write)
	}
	require.ErrorContains(t, traefikapi.CheckRule("Host(`{{ env \"HOST\" }}`)"), "write the value")
	require.ErrorContains(t, traefikapi.CheckRuleTCP("Host(`db`)", true), "in a TCP route write HostSNI(`db`)")
	require.NoError(t, traefikapi.CheckRule("Host(`a.com`) ||\nHost(`b.com`)"))
	require.NoError(t, traefikapi.CheckRule("Query(`q`, `a and b`)"))
}

func TestATCPRuleThatNoConnectionMatchesIsRefused(t *testing.T) {
	for rule, want := range map[string]string{
		"HostSNI(`*.example.com`)":                                 "Write HostSNIRegexp(`^[^.]+\\.example\\.com$`)",
		"HostSNIRegexp(`^a$`)":                                     "add tls: {} to the route",
		"HostSNIRegexp(`^a$`) && ClientIP(`10.0.0.0/8`)":           "add tls: {} to the route",
		"HostSNIRegexp(`.*`)":                                      "",
		"HostSNIRegexp(`^a$`) || HostSNI(`*`)":                     "",
		"HostSNI(`*`) && !HostSNIRegexp(`^a$`) && !ALPN(`h2`)":     "",
		"HostSNI(`*`) && (ClientIP(`::1`) || HostSNIRegexp(`^$`))": "",
	} {
		if err := traefikapi.CheckRuleTCP(rule, false); want == "" {
			require.NoError(t, err, rule)
		} else {
			require.ErrorContains(t, err, want, rule)
		}
	}
	require.NoError(t, traefikapi.CheckRuleTCP("HostSNIRegexp(`^[^.]+\\.example\\.com$`)", true))
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
