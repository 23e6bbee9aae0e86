package cluster

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

// sample counts the answers of users and the requests of pods just before the rollout was seen in this state.
type sample struct {
	view  view
	users []testbed.LoadCounts
	pods  map[string]int // requests by the pods' image
}

// recorder takes samples continuously.
type recorder struct {
	w       *world
	loads   []*testbed.Load
	samples []sample
	stop    chan struct{}
	done    sync.WaitGroup
}

func (w *world) record(t *testing.T, loads []*testbed.Load) *recorder {
	t.Helper()
	r := &recorder{w: w, loads: loads, stop: make(chan struct{})}
	r.done.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-r.stop:
				return
			case <-tick.C:
			}
			s := r.sample()
			var err error
			if s.view, err = w.view(); err == nil {
				r.samples = append(r.samples, s)
			}
		}
	})
	return r
}

func (r *recorder) sample() sample {
	s := sample{pods: r.w.asked()}
	for _, l := range r.loads {
		s.users = append(s.users, l.Counts())
	}
	return s
}

// asked counts the requests at the application's pods, by their image.
func (w *world) asked() map[string]int {
	out := map[string]int{}
	for _, p := range w.c.Requests(w.pro) {
		for _, n := range p.Status {
			out[p.Image] += n
		}
	}
	return out
}

func (r *recorder) end() {
	close(r.stop)
	r.done.Wait()
}

// enough is how many requests a share needs: from then on, the position at which Traefik's round robin begins changes
// it by at most one percent.
const enough = 100

// underWay is how many requests of the two groups of users may be in flight at once, 16 of each.
const underWay = 32

// tolerance allows for the requests in flight when a weight came into force, and for Traefik's round robin, which
// restarts at each reload.
func tolerance(counts map[string]int) float64 {
	all := 0
	for _, n := range counts {
		all += n
	}
	return 0.03 + underWay/float64(all)
}

// during returns what happened while a weight was in force: the answers to each group of users by version, and the
// requests to the pods by image.
func (r *recorder) during(t *testing.T, step string, stage int) (users []map[string]int, pods map[string]int) {
	t.Helper()
	var first, last *sample
	for i := range r.samples {
		if i == 0 || !at(step, stage)(r.samples[i-1].view) || !at(step, stage)(r.samples[i].view) {
			continue // it was counted before it was seen to be in force
		}
		if last = &r.samples[i]; first == nil {
			first = last
		}
	}
	require.NotNil(t, first, "%s %d was never in force", step, stage)
	for i := range last.users {
		answered := map[string]int{}
		for version := range last.users[i].Status {
			answered[version] = last.users[i].Answered(version) - first.users[i].Answered(version)
		}
		users = append(users, answered)
	}
	pods = map[string]int{}
	for image, n := range last.pods {
		pods[image] = n - first.pods[image]
	}
	return users, pods
}

// share is the new version's part of both counts.
func share(t *testing.T, counts map[string]int, old, canary string) float64 {
	t.Helper()
	all := counts[old] + counts[canary]
	require.Greater(t, all, enough, "%v", counts)
	return float64(counts[canary]) / float64(all)
}

// splitAsAsked checks that, from the A/B test on, users and pods saw every weight of the pipeline, and that nobody was on
// the canary before.
func (r *recorder) splitAsAsked(t *testing.T) {
	t.Helper()
	users, pods := r.during(t, "ab", 0)
	require.Zero(t, users[0]["2"], "no request from outside the cohort reaches the canary")
	require.InDelta(t, 0.5, share(t, users[1], "1", "2"), tolerance(users[1]), "half of the cohort")
	all := users[0]["1"] + users[1]["1"] + users[1]["2"]
	require.InDelta(t, float64(users[1]["2"])/float64(all), share(t, pods, image1, image2), tolerance(pods), "the pods' requests agree with the users' answers")
	for _, s := range r.samples {
		if s.view.State.Step < 4 { // the A/B test
			require.Zero(t, s.pods[image2], "%s", s.view)
		}
	}
	for stage, weight := range []float64{0.05, 0.1, 0.25, 0.5, 0.75} {
		users, pods := r.during(t, "gray", stage)
		// Both groups together: Traefik alternates between the versions, which may coincide with the alternation of two
		// groups that send equally many requests.
		all := map[string]int{}
		for _, group := range users {
			for version, n := range group {
				all[version] += n
			}
		}
		require.InDelta(t, weight, share(t, all, "1", "2"), tolerance(all), "weight %v, as users see it", weight)
		if stage > 0 { // at the first weight the cohort's route still exists for a moment
			require.InDelta(t, weight, share(t, pods, image1, image2), tolerance(pods), "weight %v, at the pods", weight)
		}
	}
	for _, l := range r.loads {
		l.Stop()
	}
	await.Until(t, "every answer is counted at a pod", func() string {
		counted, answered := r.w.asked(), map[string]int{}
		for _, l := range r.loads {
			answered[image1] += l.Counts().Answered("1")
			answered[image2] += l.Counts().Answered("2")
		}
		// A request in flight when the load ended is counted at the pod, although its user got no answer.
		if more := counted[image2] - answered[image2]; counted[image1] >= answered[image1] && more >= 0 && more <= underWay {
			return ""
		}
		return fmt.Sprintf("counted %v, answered %v", counted, answered)
	})
}
