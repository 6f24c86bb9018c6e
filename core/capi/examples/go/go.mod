module taskseal.example/seal

go 1.21
