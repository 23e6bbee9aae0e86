package resource

import "time"

// AnalysisStatus is the status of an object of kind Analysis.
type AnalysisStatus struct {
	// ObservedGeneration is the generation of the object that was read last, right or wrong.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Problems are what is wrong with the object; its last good version is in use.
	Problems []Problem `json:"problems,omitempty"`
	// Conditions are Ready and Stalled.
	Conditions []Condition `json:"conditions,omitempty"`
}

// OfAnalysis returns the status of an analysis. problems are those of this generation; before is the object's current
// status.
func OfAnalysis(generation int64, problems []Problem, before AnalysisStatus, now time.Time) AnalysisStatus {
	s := Status{Phase: "Usable", Message: "it is right"}
	for _, p := range problems[:min(len(problems), maxProblems)] {
		s.Problems = append(s.Problems, Problem{p.Path, short(p.Message)})
	}
	if len(s.Problems) > 0 {
		s.Phase = Invalid
		s.Message = short(s.wrong("the last good version is in use, if there is one"))
	}
	all := conditions(&s, In{Generation: generation, Before: Status{Conditions: before.Conditions}, Now: now})
	return AnalysisStatus{
		ObservedGeneration: generation, Problems: s.Problems,
		Conditions: []Condition{all[0], all[2]}, // Ready and Stalled
	}
}

// SameAnalysis reports whether two statuses are equal.
func SameAnalysis(a, b AnalysisStatus) bool { return encode(a) == encode(b) }
