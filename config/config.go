// Package config answers what the user has written, and what is wrong with it.
//
// Bytes become a syntax tree; the tree is validated against the JSON Schema that is generated from the document types (all
// violations, each at its line and column), decoded, checked for meaning (all violations again), and turned into an
// immutable [Set] of plans with their revisions. Nothing is half loaded. The package starts no release and talks to no
// server; all it knows about other packages is the definitions that it fills in.
//
// Start reading at [Load]; the documents are [RolloutSpec], [AnalysisSpec] and [DaemonSpec].
package config

//go:generate go test -run ^TestTheSchemaIsTheOneOfTheTypes$ -update .
//go:generate go test -run ^TestTheDefinitionsAreThoseOfTheSchema$ ../deploy -update

// APIVersion is the version of every document that this package reads.
const APIVersion = "serin.dev/v1alpha1"

// The kinds of documents.
const (
	KindDaemon   = "Daemon"
	KindAnalysis = "Analysis"
	KindRollout  = "Rollout"
)

var kinds = []string{KindDaemon, KindAnalysis, KindRollout}

// Bounds of the input. Configuration is written by people: anything larger is a mistake or an attack.
const (
	// maxFileSize is far above any real rollout (about 2 KiB) and far below what hurts.
	maxFileSize = 1 << 20
	// maxTokens of one document: the YAML parser's time grows with the square of the tokens of one mapping, and
	// its stack with their nesting; 20,000 take a tenth of a second.
	maxTokens = 20_000
	// maxNodes of one document with all aliases written out: stops alias bombs.
	maxNodes = 50_000
	// maxDepth of nested lists and maps; the schema is half as deep.
	maxDepth = 40
	// maxDocuments in one file and maxFiles in one load.
	maxDocuments = 1_000
	maxFiles     = 10_000
)

// Metadata names a document.
type Metadata struct {
	// Name is unique among the documents of its kind; objects in Traefik are named after a rollout. One with dots belongs to
	// custom resources.
	Name DocumentName `json:"name"`
	// Labels are for people and other programs; Serin ignores them.
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations are for people and other programs; Serin ignores them.
	Annotations map[string]string `json:"annotations,omitempty"`
}
