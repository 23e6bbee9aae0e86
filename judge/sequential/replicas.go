package sequential

import "github.com/serindev/serin/judge"

// Replicas is what the replicas of the version in service teach before its first release: how much some of them differ
// from others, while all are one version. Each element of pairs holds the looks of one division over the last hours,
// some replicas in the place of the canary and others in that of the baseline; the result is for [Judge.Begin].
//
// A division teaches a metric only from 64 looks with data on, as a release does. One that the judge would have failed
// teaches too, and a great deal: these replicas are one version, so what was seen is noise.
//
// spec/sequential-judge.md, Learned noise.
func (j *Judge) Replicas(pairs [][]judge.Look) map[string][]judge.Past {
	pasts := map[string][]judge.Past{}
	for _, looks := range pairs {
		e := &evidence{judge: j, records: j.newRecords(nil)}
		for _, l := range looks {
			for i := range j.metrics { // counted only: nobody asks what would have been decided
				m := &j.metrics[i]
				if o := observation(l.Observations, m.Name); o != nil {
					m.count(&e.records[i], o, l, anew{})
				}
			}
		}
		for metric, past := range e.Learned() {
			pasts[metric] = append(pasts[metric], past)
		}
	}
	return pasts
}
