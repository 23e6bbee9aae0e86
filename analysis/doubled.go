package analysis

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// scrapeLabels identify the scrape of a sample, not the process: two jobs may scrape one target, and a query layer may
// return the samples of two Prometheus servers that scrape the same targets.
var scrapeLabels = []string{
	"__replica__", "endpoint", "job", "monitor", "prometheus", "prometheus_replica", "receive", "receive_replica", "replica", "tenant_id",
}

// jobLabels are those of scrapeLabels that an application may use itself, for paths or tenants that it counts
// separately. They identify a scrape only if the jobs differ as well.
var jobLabels = []string{"endpoint", "tenant_id"}

// slack is how far apart two scrapes of one process have to be before the later one must not be lower: the time of a
// scrape and the difference of clocks.
const slack = 10 * time.Second

// scraping identifies who scraped a series: the values of its scrape labels, and the scraped address.
func scraping(l Labels) string {
	parts := make([]string, 0, 4)
	for _, x := range l {
		if slices.Contains(scrapeLabels, x.Name) || x.Name == "instance" {
			parts = append(parts, x.Name+"="+x.Value)
		}
	}
	return strings.Join(parts, ",")
}

// sameProcess reports whether two series belong to one process by their labels: they have the same address and differ
// only in the scrape. A label that only one of them has may be its job's; one with two values distinguishes processes.
func sameProcess(a, b Labels) bool {
	address, differs, jobs := a.Get("instance"), false, a.Get("job") != b.Get("job")
	if address != b.Get("instance") || address == "" && jobs {
		return false
	}
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Name < b[0].Name:
			differs = differs || slices.Contains(scrapeLabels, a[0].Name)
			a = a[1:]
		case len(a) == 0 || b[0].Name < a[0].Name:
			differs = differs || slices.Contains(scrapeLabels, b[0].Name)
			b = b[1:]
		default:
			if a[0].Value != b[0].Value {
				if !slices.Contains(scrapeLabels, a[0].Name) || !jobs && slices.Contains(jobLabels, a[0].Name) {
					return false
				}
				differs = true
			}
			a, b = a[1:], b[1:]
		}
	}
	return differs
}

// repeat records that another scraping of the same process is counted in place of this one, and when that one last had
// a sample.
type repeat struct {
	other uint64
	seen  int64 // ms
}

// repeated returns which series of an answer belong to a process that is already counted through another scraping, and
// names that one. This is known from the first answer with series of both, for as long as the other one exists and
// their counts do not contradict it.
func (c *counter) repeated(series []Series) (skip []bool, who string) {
	if len(c.repeats) == 0 && !several(series) {
		return nil, ""
	}
	skip = make([]bool, len(series))
	names, newest := make([]string, len(series)), map[uint64]int64{}
	for i, s := range series {
		names[i] = scraping(s.Labels)
		if n := len(s.Samples); n > 0 {
			newest[c.scrapingID(names[i])] = max(newest[c.scrapingID(names[i])], s.Samples[n-1].T+c.ask.shift)
		}
	}
	for id, r := range c.repeats {
		if t, ok := newest[r.other]; ok {
			c.repeats[id] = repeat{r.other, max(r.seen, t)}
		}
	}
	c.pair(series, names, newest)
	for i := range series {
		id := c.scrapingID(names[i])
		r, ok := c.repeats[id]
		switch {
		case !ok:
		case newest[id]-r.seen > Stale.Milliseconds(): // the other one is gone
			delete(c.repeats, id)
		default:
			skip[i], who = true, names[i]
		}
	}
	return skip, who
}

// several reports whether an address was scraped in more than one way.
func several(series []Series) bool {
	first := make(map[string]Labels, 1)
	for _, s := range series {
		address := s.Labels.Get("instance")
		if l, ok := first[address]; !ok {
			first[address] = s.Labels
		} else if slices.ContainsFunc(scrapeLabels, func(name string) bool {
			return !slices.Contains(jobLabels, name) && l.Get(name) != s.Labels.Get(name)
		}) {
			return true
		}
	}
	return false
}

func (c *counter) scrapingID(name string) uint64 { return hash(hash(c.ask.id, "scraping"), name) }

// pair compares the series of an answer that may belong to one process. Of two scrapings, the one whose name sorts
// first counts.
func (c *counter) pair(series []Series, names []string, newest map[uint64]int64) {
	byAddress := map[string][]int{}
	for i, s := range series {
		byAddress[s.Labels.Get("instance")] = append(byAddress[s.Labels.Get("instance")], i)
	}
	pairs := map[[2]string]bool{} // whether the counts contradict it
	for _, at := range byAddress {
		if !slices.ContainsFunc(at, func(i int) bool { return names[i] != names[at[0]] }) {
			continue
		}
		for k, i := range at {
			for _, j := range at[k+1:] {
				if names[i] == names[j] || !sameProcess(series[i].Labels, series[j].Labels) {
					continue
				}
				key := [2]string{max(names[i], names[j]), min(names[i], names[j])}
				pairs[key] = pairs[key] || c.lower(series[i], series[j]) || c.lower(series[j], series[i])
			}
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(pairs), func(a, b [2]string) int { return slices.Compare(b[:], a[:]) }) {
		id, other := c.scrapingID(key[0]), c.scrapingID(key[1])
		if pairs[key] {
			if c.repeats[id].other == other {
				delete(c.repeats, id)
			}
			continue
		}
		c.repeats[id] = repeat{other, newest[other]}
	}
}

// seen returns the last sample of a series that was counted, followed by the samples of its answer that were not.
func (c *counter) seen(s Series) []point {
	var out []point
	p, known := c.points[seriesID(c.ask.id, s.Labels)]
	if known {
		out = append(out, p)
	}
	for _, x := range s.Samples {
		if now := (point{x.T + c.ask.shift, x.total()}); now.v >= 0 && (!known || now.t > p.t) {
			out = append(out, now)
		}
	}
	return out
}

// lower reports that two series cannot belong to one process: a sample of a is lower than a clearly earlier one of b,
// although a has not begun again since.
func (c *counter) lower(a, b Series) bool {
	target, _ := targetID(c.ask.id, a.Labels)
	began, k := c.fallen[target].at, -1
	mine, others := c.seen(a), c.seen(b)
	for i, x := range mine {
		if i > 0 && x.v < mine[i-1].v {
			began = max(began, x.t)
		}
		for k+1 < len(others) && others[k+1].t <= x.t-slack.Milliseconds() {
			k++
		}
		if k >= 0 && others[k].t > began && x.v < others[k].v {
			return true
		}
	}
	return false
}
