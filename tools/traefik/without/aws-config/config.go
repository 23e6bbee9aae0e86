// Package config stands in for the AWS SDK's: it loads no configuration. See tools/README.md in Serin's repository.
package config

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/logging"
)

type (
	LoadOptions      struct{}
	LoadOptionsFunc  func(*LoadOptions) error
	UseEC2IMDSRegion struct{}
)

func none(*LoadOptions) error { return nil }

func WithLogger(logging.Logger) LoadOptionsFunc                       { return none }
func WithRegion(string) LoadOptionsFunc                               { return none }
func WithEC2IMDSRegion(...func(*UseEC2IMDSRegion)) LoadOptionsFunc    { return none }
func WithCredentialsProvider(aws.CredentialsProvider) LoadOptionsFunc { return none }

func LoadDefaultConfig(context.Context, ...func(*LoadOptions) error) (aws.Config, error) {
	return aws.Config{}, errors.New("this Traefik was built for Serin's tests, without AWS")
}
