package config

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// watch runs a watcher over dir until the test ends, and returns a function that waits for a set.
func watch(t *testing.T, paths ...string) (wait func(what string, is func(*Set) bool) *Set) {
	sets := make(chan *Set, 1000)
	w := NewWatcher(Loader{}, slog.New(slog.NewTextHandler(t.Output(), nil)), func(s *Set) { sets <- s }, paths...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return func(what string, is func(*Set) bool) *Set {
		t.Log("waiting:", what) // without a limit: go test's own deadline ends a test that waits too long
		for s := range sets {
			if is(s) {
				return s
			}
		}
		return nil
	}
}

func put(t *testing.T, text string, path ...string) {
	require.NoError(t, os.WriteFile(filepath.Join(path...), []byte(text), 0o600))
}

func clean(s *Set) bool  { return len(s.Errors) == 0 }
func broken(s *Set) bool { return len(s.Errors) > 0 }

func names(s *Set) string {
	var out []string
	for _, r := range s.Rollouts {
		out = append(out, r.Plan.Rollout.Name)
	}
	return strings.Join(out, " ")
}

func has(want string) func(*Set) bool {
	return func(s *Set) bool { return clean(s) && names(s) == want }
}

func revision(t *testing.T, s *Set, name string) string {
	r, ok := s.Rollout(name)
	require.True(t, ok)
	return r.Plan.Rollout.Revision
}

func other(text string) string { return strings.ReplaceAll(text, "5%", "7%") }

func TestTheFirstReadingHasTheGoodFilesNextToABadOne(t *testing.T) {
	dir := write(t, map[string]string{"good.yaml": rolloutYAML("shop", short), "bad.yaml": "kind: Rollot\n"})
	s := watch(t, dir)("first", broken)
	require.Equal(t, "shop", names(s))
}

func TestABadFileKeepsItsLastGoodDocumentsUntilItIsGoodAgain(t *testing.T) {
	dir := write(t, map[string]string{"a.yaml": rolloutYAML("shop", short), "b.yaml": rolloutYAML("feed", short)})
	wait := watch(t, dir)
	first := wait("first", has("feed shop"))

	put(t, strings.Replace(rolloutYAML("shop", short), "weights", "wieghts", 1), dir, "a.yaml")
	put(t, other(rolloutYAML("feed", short)), dir, "b.yaml")
	s := wait("bad", func(s *Set) bool { return broken(s) && revision(t, s, "feed") != revision(t, first, "feed") })
	require.Equal(t, "feed shop", names(s))
	require.Equal(t, revision(t, first, "shop"), revision(t, s, "shop"))
	r, _ := s.Rollout("shop")
	require.True(t, r.Outdated)
	require.Contains(t, s.Errors.Error(), `did you mean "weights"?`)

	put(t, other(rolloutYAML("shop", short)), dir, "a.yaml")
	s = wait("good again", clean)
	require.NotEqual(t, revision(t, first, "shop"), revision(t, s, "shop"))
	r, _ = s.Rollout("shop")
	require.False(t, r.Outdated)
}

func TestAFileWrittenInPiecesNeverLosesItsDocuments(t *testing.T) {
	whole := rolloutYAML("shop", short)
	dir := write(t, map[string]string{"a.yaml": whole})
	wait := watch(t, dir)
	wait("first", has("shop"))
	f, err := os.OpenFile(filepath.Join(dir, "a.yaml"), os.O_WRONLY|os.O_TRUNC, 0) //nolint:gosec // in a folder of the test
	require.NoError(t, err)
	text := other(whole)
	_, err = f.WriteString(text[:len(text)-40])
	require.NoError(t, err)
	s := wait("half", broken)
	require.Equal(t, "shop", names(s))
	_, err = f.WriteString(text[len(text)-40:])
	require.NoError(t, err)
	require.NoError(t, f.Close())
	wait("whole", has("shop"))
}

func TestAnEditorsRenameAndReplaceIsSeen(t *testing.T) {
	dir := write(t, map[string]string{"a.yaml": rolloutYAML("shop", short)})
	wait := watch(t, dir)
	first := wait("first", has("shop"))
	put(t, other(rolloutYAML("shop", short)), dir, ".a.yaml.swp")
	require.NoError(t, os.Rename(filepath.Join(dir, "a.yaml"), filepath.Join(dir, "a.yaml~")))
	require.NoError(t, os.Rename(filepath.Join(dir, ".a.yaml.swp"), filepath.Join(dir, "a.yaml")))
	wait("replaced", func(s *Set) bool { return has("shop")(s) && revision(t, s, "shop") != revision(t, first, "shop") })
}

func TestOneFileCanBeWatched(t *testing.T) {
	dir := write(t, map[string]string{"a.yaml": rolloutYAML("shop", short)})
	wait := watch(t, filepath.Join(dir, "a.yaml"))
	wait("first", has("shop"))
	put(t, rolloutYAML("feed", short), dir, "tmp")
	require.NoError(t, os.Rename(filepath.Join(dir, "tmp"), filepath.Join(dir, "a.yaml")))
	wait("replaced", has("feed"))
}

// A mounted ConfigMap: files are links into ..data, which is a link to a folder with a date, swapped by rename.
func TestAMountedConfigMapIsSwappedAsAWhole(t *testing.T) {
	dir := t.TempDir()
	mount := func(version, shop, feed string) {
		require.NoError(t, os.Mkdir(filepath.Join(dir, version), 0o750))
		put(t, shop, dir, version, "shop.yaml")
		put(t, feed, dir, version, "feed.yaml")
		require.NoError(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	shop, feed := rolloutYAML("shop", short), rolloutYAML("feed", short)
	mount("..2026_1", shop, feed)
	for _, name := range []string{"shop.yaml", "feed.yaml"} {
		require.NoError(t, os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
	}
	wait := watch(t, dir)
	first := wait("first", has("feed shop"))
	mount("..2026_2", other(shop), other(feed))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "..2026_1")))
	s := wait("swapped", func(s *Set) bool { return revision(t, s, "shop") != revision(t, first, "shop") })
	require.True(t, has("feed shop")(s))
	require.NotEqual(t, revision(t, first, "feed"), revision(t, s, "feed"), "never one file from before and one from after")
}

func TestDocumentsGoWithTheirFileAndComeWithANewFolder(t *testing.T) {
	dir := write(t, map[string]string{"a.yaml": rolloutYAML("shop", short), "b.yaml": rolloutYAML("feed", short)})
	wait := watch(t, dir)
	wait("first", has("feed shop"))
	require.NoError(t, os.Remove(filepath.Join(dir, "a.yaml")))
	wait("deleted", has("feed"))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "team", "web"), 0o750))
	put(t, rolloutYAML("cart", short), dir, "team", "web", "cart.yaml")
	wait("in a new folder", has("cart feed"))
	put(t, rolloutYAML("cart-2", short), dir, "team", "web", "cart.yaml")
	wait("the new folder is watched", has("cart-2 feed"))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "team")))
	wait("the folder is gone", has("feed"))
}

func TestAFolderMayGoAndComeBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rollouts")
	require.NoError(t, os.Mkdir(dir, 0o750))
	put(t, rolloutYAML("shop", short), dir, "a.yaml")
	wait := watch(t, dir)
	wait("first", has("shop"))
	require.NoError(t, os.RemoveAll(dir))
	s := wait("gone", broken)
	require.Empty(t, s.Rollouts)
	require.NoError(t, os.Mkdir(dir, 0o750))
	put(t, rolloutYAML("feed", short), dir, "a.yaml")
	wait("back", has("feed"))
	put(t, rolloutYAML("cart", short), dir, "a.yaml")
	wait("watched again", has("cart"))
}

func TestARolloutWhoseAnalysisGoesKeepsItsPlan(t *testing.T) {
	const web = "apiVersion: serin.dev/v1alpha1\nkind: Analysis\nmetadata: {name: web}\nspec: {metrics: [{name: e, preset: traefik-errors}]}\n"
	text := strings.Replace(rolloutYAML("shop", short), "traefik-web", "web", 1)
	dir := write(t, map[string]string{"a.yaml": text, "web.yaml": web})
	wait := watch(t, dir)
	first := wait("first", has("shop"))
	require.NoError(t, os.Remove(filepath.Join(dir, "web.yaml")))
	s := wait("without its analysis", broken)
	r, ok := s.Rollout("shop")
	require.True(t, ok)
	require.True(t, r.Outdated)
	old, _ := first.Rollout("shop")
	require.Equal(t, old.Plan, r.Plan)
	put(t, web, dir, "web.yaml")
	wait("again", has("shop"))
}

func TestANewcomerDoesNotTakeADocumentFromTheFileThatHasIt(t *testing.T) {
	dir := write(t, map[string]string{"b.yaml": rolloutYAML("shop", short)})
	wait := watch(t, dir)
	first := wait("first", has("shop"))
	put(t, other(rolloutYAML("shop", short)), dir, "a.yaml")
	s := wait("double", broken)
	require.Len(t, s.Errors, 1)
	require.Equal(t, filepath.Join(dir, "a.yaml"), s.Errors[0].File)
	require.Equal(t, revision(t, first, "shop"), revision(t, s, "shop"))
	require.NoError(t, os.Remove(filepath.Join(dir, "b.yaml")))
	wait("moved", func(s *Set) bool { return has("shop")(s) && revision(t, s, "shop") != revision(t, first, "shop") })
}
