package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
)

const aboutShop = `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  parameters: [{name: image}]
  owner: Payments
  labels: {team: payments, tier: "1"}
  links:
    - {name: runbook, url: "https://wiki.example.com/shop"}
    - {name: source, url: "https://git.example.com/shop/${image}"}
  notify: [{to: payments, on: [gate, rollback]}]
  traffic:
    traefikFile: {path: dynamic/shop.yaml, rule: PathPrefix("/"), entryPoints: [web]}
  stable: {servers: [http://127.0.0.1:8081]}
  canary: {servers: [http://127.0.0.1:8082]}
  analysis: traefik-web
  steps:
    - gray: {weights: [10%, 50%], hold: 1m}
    - promote: {}
`

// TestARolloutAsksOnlyForWhatTheDaemonOffersIt holds that a rollout names no address, and reaches no receiver that is not
// offered.
func TestARolloutAsksOnlyForWhatTheDaemonOffersIt(t *testing.T) {
	for _, c := range []struct{ name, receiver, wrong string }{
		{"one that is offered", "name: payments, onRequest: true", ""},
		{"to this rollout", `name: payments, onRequest: true, rollouts: ["sh*"], labels: {team: payments}`, ""},
		{"one that is not offered", "name: payments", `the daemon has no receiver "payments" that a rollout may ask for (onRequest: true)`},
		{"another", "name: payment, onRequest: true", `did you mean "payment"?`},
		{"one for other rollouts", "name: payments, onRequest: true, rollouts: [cart]", "the receiver payments is for the rollouts cart"},
		{"one for other labels", "name: payments, onRequest: true, labels: {team: checkout}", "the receiver payments is for rollouts with the label team=checkout"},
		{"one for namespaces, without Kubernetes", "name: payments, onRequest: true, namespaces: [pro]", "the receiver payments is for the namespaces pro"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			daemon := "apiVersion: serin.dev/v1alpha1\nkind: Daemon\nspec:\n  prometheus: {url: http://127.0.0.1:9090}\n  notify: [{url: \"slack://hunter2\", " + c.receiver + "}]\n"
			require.NoError(t, os.WriteFile(filepath.Join(dir, "serin.yaml"), []byte(daemon), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(aboutShop), 0o600))
			set, errs := Load(dir)
			if c.wrong != "" {
				require.ErrorContains(t, errs, c.wrong)
				require.NotContains(t, errs.Error(), "hunter2")
				return
			}
			require.Empty(t, errs)
			require.Equal(t, record.About{
				Owner: "Payments", Labels: map[string]string{"team": "payments", "tier": "1"},
				Links:  []record.Link{{Name: "runbook", URL: "https://wiki.example.com/shop"}, {Name: "source", URL: "https://git.example.com/shop/${image}"}},
				Notify: []record.Asked{{To: "payments", On: []string{"gate", "rollback"}}},
			}, set.Rollouts[0].Plan.About)
		})
	}
	path := filepath.Join(t.TempDir(), "shop.yaml")
	require.NoError(t, os.WriteFile(path, []byte(aboutShop), 0o600))
	_, errs := Load(path)
	require.Empty(t, errs, "without the daemon's document nobody knows its receivers")
}

// bomb is a list of lists, each with ten times the one before.
func bomb(levels int) string {
	out := "- &a0 x\n"
	for i := range levels {
		out += fmt.Sprintf("- &a%d [%s]\n", i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	return out
}

// TestWhatANamespaceAsksFor reads the annotation of a Namespace, which may ask for the same as a rollout, and name no address.
func TestWhatANamespaceAsksFor(t *testing.T) {
	spec := &DaemonSpec{Notify: []NotifySpec{
		{Name: "payments", OnRequest: true, Namespaces: Texts{"payments", "pay-*"}}, {Name: "platform", OnRequest: true}, {Name: "admins"},
	}}
	for _, c := range []struct {
		name, text string
		asked      []record.Asked
		wrong      string
	}{
		{"nothing", " ", nil, ""},
		{"a list as YAML", "# who is on call\n- to: payments\n  on: [gate, rollback]\n- to: platform\n", []record.Asked{{To: "payments", On: []string{"gate", "rollback"}}, {To: "platform"}}, ""},
		{"a list as JSON", `[{"to":"platform"}]`, []record.Asked{{To: "platform"}}, ""},
		{"right entries count in spite of wrong ones", "[{to: platform}, {to: nobody}]", []record.Asked{{To: "platform"}}, `entry 2: the daemon has no receiver "nobody" that a rollout may ask for`},
		{"one that is not on request", "[{to: admins}]", nil, `entry 1: the daemon has no receiver "admins"`},
		{"one twice", "[{to: platform}, {to: platform, on: [gate]}]", []record.Asked{{To: "platform"}}, "entry 2: platform is named twice"},
		{"an unknown occasion", "[{to: platform, on: [deploy]}]", nil, `entry 1: on: expected some of started, step, gate, hold, alarm, drift, dryRun, rollback, finished, not "deploy"`},
		{"an address", "[{to: platform, url: https://evil.example}]", nil, `expected a list such as [{to: payments, on: [gate, rollback]}]: unknown field "url"`},
		{"a name alone", "platform", nil, "there is string where it is not expected"},
		{"no YAML", "[{to: ", nil, "it is not YAML"},
		{"too much", "[" + strings.Repeat(" ", 8<<10) + "]", nil, "of at most 8192 bytes"},
		{"a few lines that expand to far more", bomb(5), nil, "anchors and aliases are not allowed here"},
		{"too many", "[" + strings.Repeat("{to: platform}, ", 21) + "]", nil, "expected at most 20 receivers, not 21"},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked, err := spec.AskedBy("payments", c.text)
			require.Equal(t, c.asked, asked)
			if c.wrong == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.wrong)
		})
	}
	_, err := spec.AskedBy("cart", "[{to: payments}]")
	require.EqualError(t, err, "entry 1: the receiver payments is for the namespaces payments, pay-*")
}

// TestTheOccasionsAreThoseOfTheSchema compares them, since the list in an annotation is not checked by the schema.
func TestTheOccasionsAreThoseOfTheSchema(t *testing.T) {
	field, ok := reflect.TypeFor[OccasionsSpec]().FieldByName("On")
	require.True(t, ok)
	require.Equal(t, "enum="+strings.Join(occasions, ",enum="), field.Tag.Get("jsonschema"))
}
