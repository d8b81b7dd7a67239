// The openai-go package, in the version that go.mod names.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

var (
	url     = os.Getenv("SPACE_URL")
	key     = os.Getenv("SPACE_KEY")
	prompts = map[string]string{}
	ctx     = context.Background()
)

type outcome = map[string]any

func client(key string) openai.Client {
	return openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithAPIKey(key), option.WithMaxRetries(0))
}

func asked(name string) openai.ChatCompletionNewParams {
	messages := []openai.ChatCompletionMessageParamUnion{openai.UserMessage(prompts[name])}
	return openai.ChatCompletionNewParams{Model: model(), Messages: messages}
}

func model() string {
	if name := os.Getenv("SPACE_MODEL"); name != "" {
		return name
	}
	return "guide"
}

func text(key string, params openai.ChatCompletionNewParams) (any, error) {
	c := client(key)
	completion, err := c.Chat.Completions.New(ctx, params)
	if err != nil {
		return nil, err
	}
	return completion.Choices[0].Message.Content, nil
}

// stream returns the text that came, and the error that ended it; after `cancel` pieces it is closed.
func stream(name string, cancel int) (string, error) {
	c := client(key)
	pieces := c.Chat.Completions.NewStreaming(ctx, asked(name))
	defer pieces.Close()
	var all strings.Builder
	for count := 0; pieces.Next(); {
		if chunk := pieces.Current(); len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" {
			all.WriteString(chunk.Choices[0].Delta.Content)
			count++
		}
		if cancel > 0 && count >= cancel {
			break
		}
	}
	return all.String(), pieces.Err()
}

func tools() (any, error) {
	c := client(key)
	params := asked("tools")
	schema := shared.FunctionParameters{"type": "object", "properties": map[string]any{"city": map[string]string{"type": "string"}}}
	params.Tools = []openai.ChatCompletionToolUnionParam{
		openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "weather", Parameters: schema}),
	}
	completion, err := c.Chat.Completions.New(ctx, params)
	if err != nil {
		return nil, err
	}
	message := completion.Choices[0].Message
	params.Messages = append(params.Messages, message.ToParam())
	for _, call := range message.ToolCalls {
		var given struct{ City string }
		if err := json.Unmarshal([]byte(call.Function.Arguments), &given); err != nil {
			return nil, err
		}
		result := strings.ReplaceAll(prompts["tool_result"], "CITY", given.City)
		params.Messages = append(params.Messages, openai.ToolMessage(result, call.ID))
	}
	return text(key, params)
}

func structured() (any, error) {
	params := asked("structured")
	person := map[string]any{
		"type":       "object",
		"properties": map[string]any{"name": map[string]string{"type": "string"}, "age": map[string]string{"type": "integer"}},
		"required":   []string{"name", "age"},
	}
	schema := shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "person", Schema: person}
	params.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{
		OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{JSONSchema: schema},
	}
	return text(key, params)
}

func described(err error) outcome {
	var refused *openai.Error
	status, words := 0, err.Error()
	if errors.As(err, &refused) {
		status, words = refused.StatusCode, words+" "+refused.RawJSON()
	}
	return outcome{"kind": fmt.Sprintf("%T", err), "status": status, "words": words}
}

func main() {
	if err := json.Unmarshal([]byte(os.Getenv("PROMPTS")), &prompts); err != nil {
		panic(err)
	}
	absent := asked("chat")
	absent.Model = "absent"
	cases := []struct {
		name string
		run  func() (any, error)
	}{
		{"chat", func() (any, error) { return text(key, asked("chat")) }},
		{"cancel", func() (any, error) { return stream("cancel", 1) }},
		{"tools", tools},
		{"structured", structured},
		{"wrong_key", func() (any, error) { return text("wrong", asked("chat")) }},
		{"absent_model", func() (any, error) { return text(key, absent) }},
		{"fails_before", func() (any, error) { return text(key, asked("fails_before")) }},
		{"fails_midway", func() (any, error) { return stream("fails_midway", 0) }},
		{"fails_late", func() (any, error) { return text(key, asked("fails_late")) }},
		{"silence", func() (any, error) { return stream("silence", 0) }},
	}
	outcomes := map[string]outcome{}
	for _, each := range cases {
		began := time.Now()
		value, err := each.run()
		told := outcome{"value": value}
		if err != nil {
			told = outcome{"text": value, "error": described(err)}
		}
		told["seconds"] = time.Since(began).Seconds()
		outcomes[each.name] = told
	}
	encoded, _ := json.Marshal(outcomes)
	fmt.Println(string(encoded))
}
