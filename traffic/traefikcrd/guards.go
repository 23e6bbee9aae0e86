package traefikcrd

import (
	"fmt"
	"math"
	"strconv"
	"time"

	ptypes "github.com/traefik/paerser/types"
	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/serindev/serin/traffic"
)

// limitSpec and breakerSpec return the guards as Middlewares. Zeros are left to Traefik's defaults.
func limitSpec(g traffic.RateLimit) v1alpha1.MiddlewareSpec {
	limit := &v1alpha1.RateLimit{Average: &g.Average, Period: duration(g.Period)}
	if g.Burst != 0 {
		limit.Burst = &g.Burst
	}
	if g.By != "" {
		limit.SourceCriterion = &dynamic.SourceCriterion{RequestHeaderName: g.By}
	}
	return v1alpha1.MiddlewareSpec{RateLimit: limit}
}

func breakerSpec(g traffic.CircuitBreaker) v1alpha1.MiddlewareSpec {
	return v1alpha1.MiddlewareSpec{CircuitBreaker: &v1alpha1.CircuitBreaker{
		Expression: g.Expression, CheckPeriod: duration(g.CheckPeriod), FallbackDuration: duration(g.Fallback),
		RecoveryDuration: duration(g.Recovery), ResponseCode: g.ResponseCode,
	}}
}

// duration writes a duration as text, because Traefik takes a number as seconds.
func duration(d time.Duration) *intstr.IntOrString {
	if d == 0 {
		return nil
	}
	text := intstr.FromString(d.String())
	return &text
}

// guardsOf reads the guards from two Middlewares, either of which may be nil. Its error is about an invalid duration.
func guardsOf(limit, breaker *v1alpha1.MiddlewareSpec) (traffic.Guards, error) {
	var g traffic.Guards
	if limit != nil && limit.RateLimit != nil {
		l := limit.RateLimit
		g.RateLimit = &traffic.RateLimit{}
		if l.Average != nil {
			g.RateLimit.Average = *l.Average
		}
		if l.Burst != nil {
			g.RateLimit.Burst = *l.Burst
		}
		if l.SourceCriterion != nil {
			g.RateLimit.By = l.SourceCriterion.RequestHeaderName
		}
		var err error
		if g.RateLimit.Period, err = durationOf(l.Period); err != nil {
			return traffic.Guards{}, fmt.Errorf("rateLimit: period: %w", err)
		}
	}
	if breaker != nil && breaker.CircuitBreaker != nil {
		b := breaker.CircuitBreaker
		g.CircuitBreaker = &traffic.CircuitBreaker{Expression: b.Expression, ResponseCode: b.ResponseCode}
		for field, text := range map[*time.Duration]*intstr.IntOrString{
			&g.CircuitBreaker.CheckPeriod: b.CheckPeriod, &g.CircuitBreaker.Fallback: b.FallbackDuration,
			&g.CircuitBreaker.Recovery: b.RecoveryDuration,
		} {
			var err error
			if *field, err = durationOf(text); err != nil {
				return traffic.Guards{}, fmt.Errorf("circuitBreaker: %w", err)
			}
		}
	}
	return g, nil
}

// durationOf reads a duration as Traefik does: a bare number is seconds.
func durationOf(text *intstr.IntOrString) (time.Duration, error) {
	if text == nil {
		return 0, nil
	}
	if seconds, err := strconv.ParseInt(text.String(), 10, 64); err == nil &&
		(seconds > math.MaxInt64/int64(time.Second) || seconds < math.MinInt64/int64(time.Second)) {
		return 0, fmt.Errorf("%s seconds are too many", text)
	}
	var d ptypes.Duration
	err := d.Set(text.String())
	return time.Duration(d), err
}
