package server

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"golang.org/x/crypto/argon2"
)

// Token says who may do what. Its secret is known to its owner only; the file of tokens holds a hash of it.
type Token struct {
	// Name is unique in its file; it is what the audit log shows.
	Name string `yaml:"name" json:"name"`
	// Roles are viewer, operator, judge, admin, and any that a gate names as its approvers.
	Roles []string `yaml:"roles" json:"roles"`
	// Rollouts that the roles hold for, as patterns of whole names (see [Grant]); empty is all of them.
	Rollouts []string `yaml:"rollouts,omitempty" json:"rollouts,omitempty"`
	// Hash is sha256: and the secret's SHA-256 in hex, or, from before, its Argon2id hash as a PHC string.
	Hash string `yaml:"hash" json:"-"`
}

// tokenFile is the document in a file of tokens.
type tokenFile struct {
	Tokens []Token `yaml:"tokens"`
}

const (
	// secretPrefix lets people and scanners of leaked secrets see what a string is.
	secretPrefix = "serin"
	// secretSize is in random bytes: 192 bits cannot be guessed.
	secretSize = 24
	// maxTokenFile is far above any list of tokens that people keep by hand.
	maxTokenFile = 1 << 20
)

// sumPrefix begins a hash of the kind that is made today. A slow hash protects secrets that people choose; these are
// random (docs/decisions/0014-tokens-are-random-their-hash-is-fast.md).
const sumPrefix = "sha256:"

// Bounds of the cost that a hash in a file may ask for; above them it is a mistake or an attack on the daemon.
const (
	maxArgonTime   = 16
	maxArgonMemory = 256 * 1024 // KiB
)

// identity is who comes with this token.
func (t Token) identity() Identity {
	if len(t.Rollouts) == 0 {
		return Identity{Name: t.Name, Roles: t.Roles}
	}
	return Identity{Name: t.Name, Roles: []string{}, Bound: []Grant{{t.Roles, t.Rollouts}}}
}

var tokenName = regexp.MustCompile(`^[a-z0-9]([-_a-z0-9]{0,61}[a-z0-9])?$`)

// reservedNames are the authors of events that no person causes.
var reservedNames = []string{"serin", "judge", "gateway", "webhook"}

// LoadTokens reads a file of tokens. A missing file is an error that wraps [os.ErrNotExist]: a mistyped path must not
// silently lock everyone out.
func LoadTokens(path string) ([]Token, error) {
	f, err := os.Open(path) //nolint:gosec // the operator says where the tokens are
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	b, err := io.ReadAll(io.LimitReader(f, maxTokenFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read tokens %s: %w", path, err)
	case len(b) > maxTokenFile:
		return nil, fmt.Errorf("read tokens %s: larger than %d bytes", path, maxTokenFile)
	}
	tokens, err := parseTokens(b)
	if err != nil {
		return nil, fmt.Errorf("read tokens %s: %w", path, err)
	}
	return tokens, nil
}

// parseTokens reads a document of tokens and refuses it as a whole if any of them is wrong.
func parseTokens(b []byte) ([]Token, error) {
	var doc tokenFile
	if err := decodeYAML(b, &doc); err != nil && !errors.Is(err, io.EOF) {
		// The library's message would show the lines around the error, and with them hashes.
		return nil, errors.New("it is not a list of tokens (tokens: [{name, roles, hash}])")
	}
	if err := checkTokens(doc.Tokens); err != nil {
		return nil, err
	}
	return doc.Tokens, nil
}

// decodeYAML decodes strictly. The library panics on some broken files (found by fuzzing: a tag without a value
// where a list is expected); a daemon that runs must not end by an edit.
func decodeYAML(b []byte, v any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("YAML: %v", r)
		}
	}()
	return yaml.UnmarshalWithOptions(b, v, yaml.Strict())
}

func checkTokens(tokens []Token) error {
	seen := map[string]bool{}
	for i, t := range tokens {
		if err := checkToken(t.Name, t.Roles); err != nil {
			return fmt.Errorf("tokens[%d]: %w", i, err)
		}
		if seen[t.Name] {
			return fmt.Errorf("tokens[%d]: there are two tokens %s", i, t.Name)
		}
		seen[t.Name] = true
		if t.Rollouts != nil {
			if err := (Grant{t.Roles, t.Rollouts}).check(); err != nil {
				return fmt.Errorf("tokens[%d]: %w", i, err)
			}
		}
		if _, ok := parseSum(t.Hash); ok {
			continue
		}
		if _, err := parseHash(t.Hash); err != nil {
			return fmt.Errorf("tokens[%d]: hash: %w", i, err)
		}
	}
	return nil
}

func checkToken(name string, roles []string) error {
	if !tokenName.MatchString(name) {
		return fmt.Errorf("name %q: expected up to 63 of a-z, 0-9, - and _, with a letter or digit at both ends", name)
	}
	if len(roles) == 0 {
		return fmt.Errorf("token %s has no role: expected viewer, operator, judge, admin, or one that a gate names", name)
	}
	if slices.Contains(reservedNames, name) {
		return fmt.Errorf("name %q is reserved: it is the author of events that no person causes", name)
	}
	for _, r := range roles {
		if !tokenName.MatchString(r) {
			return fmt.Errorf("role %q: expected up to 63 of a-z, 0-9, - and _, with a letter or digit at both ends", r)
		}
	}
	return nil
}

// SaveTokens writes a file of tokens that only its owner may read. It is replaced as a whole: after an error the
// old one is still there.
func SaveTokens(path string, tokens []Token) error {
	if err := checkTokens(tokens); err != nil {
		return fmt.Errorf("write tokens %s: %w", path, err)
	}
	b, err := yaml.Marshal(tokenFile{Tokens: tokens})
	if err != nil {
		return fmt.Errorf("encode tokens: %w", err)
	}
	b = append([]byte("# Written by `serin token`. The secrets themselves are not in here.\n"), b...)
	return WriteSecretFile(path, b)
}

// WriteSecretFile writes a file of mode 0600 atomically, and syncs it to disk before it returns.
func WriteSecretFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error at hand says more
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// NewToken makes a token. The secret is shown once and kept nowhere.
func NewToken(name string, roles []string) (secret string, t Token, err error) {
	if err := checkToken(name, roles); err != nil {
		return "", Token{}, err
	}
	random := make([]byte, secretSize)
	_, _ = rand.Read(random) // it never fails, see crypto/rand
	secret = secretPrefix + "." + name + "." + base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(secret))
	return secret, Token{Name: name, Roles: slices.Clone(roles), Hash: sumPrefix + hex.EncodeToString(sum[:])}, nil
}

// parseSum reads a hash of the current kind.
func parseSum(text string) (sum [sha256.Size]byte, ok bool) {
	digits, is := strings.CutPrefix(text, sumPrefix)
	if b, err := hex.DecodeString(digits); is && err == nil && len(b) == len(sum) && digits == strings.ToLower(digits) {
		return [sha256.Size]byte(b), true
	}
	return sum, false
}

// Verify reports whether a secret is this token's. With an Argon2id hash it takes some 20 ms and 19 MiB.
func (t Token) Verify(secret string) bool {
	if want, ok := parseSum(t.Hash); ok {
		got := sha256.Sum256([]byte(secret))
		return subtle.ConstantTimeCompare(got[:], want[:]) == 1
	}
	h, err := parseHash(t.Hash)
	if err != nil {
		return false
	}
	return subtle.ConstantTimeCompare(h.of(secret, uint32(len(h.key))), h.key) == 1 //nolint:gosec // bounded by parseHash
}

// nameIn returns the name that a secret claims; empty for a text that is not in Serin's form.
func nameIn(secret string) string {
	parts := strings.Split(secret, ".")
	if len(parts) != 3 || parts[0] != secretPrefix || len(parts[2]) != base64.RawURLEncoding.EncodedLen(secretSize) {
		return ""
	}
	return parts[1]
}

// hash is an Argon2id hash with what it was made with. Its text is the PHC string format:
// $argon2id$v=19$m=19456,t=2,p=1$SALT$KEY, both in base64 without padding.
type hash struct {
	time, memory uint32
	threads      uint8
	salt, key    []byte
}

func (h hash) of(secret string, size uint32) []byte {
	return argon2.IDKey([]byte(secret), h.salt, h.time, h.memory, h.threads, size)
}

// String is the PHC string.
func (h hash) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads, b64(h.salt), b64(h.key))
}

// phc is the only order of parameters that the format allows.
var phc = regexp.MustCompile(`^\$argon2id\$v=19\$m=([1-9][0-9]{0,8}),t=([1-9][0-9]{0,3}),p=([1-9][0-9]{0,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$`)

// parseHash reads a PHC string. It refuses a cost that would bring the daemon down.
func parseHash(text string) (hash, error) {
	m := phc.FindStringSubmatch(text)
	if m == nil {
		return hash{}, errors.New("expected sha256: and 64 digits (0-9, a-f); `serin token new` writes it")
	}
	var memory, passes, threads uint32
	if _, err := fmt.Sscan(m[1]+" "+m[2]+" "+m[3], &memory, &passes, &threads); err != nil {
		return hash{}, fmt.Errorf("parameters: %w", err)
	}
	if memory > maxArgonMemory || passes > maxArgonTime || threads > 255 || memory < 8*threads {
		return hash{}, fmt.Errorf("m=%d,t=%d,p=%d: expected m up to %d and at least 8·p, t up to %d, p up to 255",
			memory, passes, threads, maxArgonMemory, maxArgonTime)
	}
	b64 := base64.RawStdEncoding.Strict()
	salt, err := b64.DecodeString(m[4])
	if err != nil {
		return hash{}, fmt.Errorf("salt: %w", err)
	}
	key, err := b64.DecodeString(m[5])
	if err != nil {
		return hash{}, fmt.Errorf("key: %w", err)
	}
	return hash{time: passes, memory: memory, threads: uint8(threads), salt: salt, key: key}, nil
}
