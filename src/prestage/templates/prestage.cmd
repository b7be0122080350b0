@echo off
rem Sets up {{IMAGE}} revision {{REVISION}} as the first image of this computer.
rem
rem Run it as an administrator from the folder in which the kit lies, on Windows Vista or newer. Again is fine.
rem It ends with 0 when everything is in place and checked, and with 1 after it has said what failed.
setlocal EnableExtensions DisableDelayedExpansion
set "KIT=%~dp0MED-V Images\PrestagedImages"
set "IMAGES={{IMAGES}}"
set "PRESTAGED={{PRESTAGED}}"
set "TOOLS=%SystemRoot%\System32"
{{CODE_PAGE}}
rem 1. The folders.
set "STEP=the folders could not be made"
if not exist "%PRESTAGED%" mkdir "%PRESTAGED%"
if not exist "%PRESTAGED%" goto failed

rem 2. Who may do what there: SYSTEM and Administrators everything, Authenticated Users what is listed.
set "STEP=icacls could not set the rights of the folder MED-V Images; is this an administrator's prompt?"
"%TOOLS%\icacls.exe" "%IMAGES%" {{IMAGES_RIGHTS}}
if errorlevel 1 goto failed
set "STEP=icacls could not set the rights of the folder PrestagedImages"
"%TOOLS%\icacls.exe" "%PRESTAGED%" {{PRESTAGED_RIGHTS}}
if errorlevel 1 goto failed

rem 3. The files: copied under another name, checked, renamed, marked read-only. The index comes last.
set "STEP=certutil.exe is missing, without which no digest can be checked"
if not exist "%TOOLS%\certutil.exe" goto failed
set "STEP=the folder PrestagedImages cannot be opened"
pushd "%PRESTAGED%"
if errorlevel 1 goto failed
{{FILES}}
popd

rem 4. Where the client looks for them. It is a 32-bit program.
set "STEP=the registry value PrestagedImagesPath could not be set"
set "KEY=HKLM\SOFTWARE\WOW6432Node\Kidaro"
if /i "%PROCESSOR_ARCHITECTURE%"=="x86" set "KEY=HKLM\SOFTWARE\Kidaro"
"%TOOLS%\reg.exe" add "%KEY%" /v PrestagedImagesPath /t REG_SZ /d "%PRESTAGED%" /f
if errorlevel 1 goto failed

echo prestage: {{IMAGE}} revision {{REVISION}} is in place and checked. Install the client with
echo     msiexec /i Client.msi VMSFOLDER="%IMAGES%"
exit /b 0

:failed
echo prestage: FAILED: %STEP%>&2
echo prestage: the folder was "%PRESTAGED%">&2
exit /b 1

rem Puts the file NAME with the digest HASH from the kit into the folder at hand.
:place
if not exist "%NAME%" goto copy
set "FILE=%NAME%"
call :hash
if /i "%FOUND%"=="%HASH%" goto mark
set "STEP=%NAME% is not the file that was packed: its digest is another"
if /i "%KIT%"=="%PRESTAGED%" exit /b 1
:copy
set "STEP=%NAME% could not be copied from the kit"
if exist "%NAME%.part" del /f /q "%NAME%.part"
copy /b "%KIT%\%NAME%" "%NAME%.part" >nul
if errorlevel 1 exit /b 1
set "STEP=the copy of %NAME% is not the file that was packed: its digest is another"
set "FILE=%NAME%.part"
call :hash
if /i "%FOUND%"=="%HASH%" goto rename
del /f /q "%NAME%.part"
exit /b 1
:rename
set "STEP=%NAME%.part could not be renamed"
if exist "%NAME%" "%TOOLS%\attrib.exe" -R "%NAME%"
move /y "%NAME%.part" "%NAME%" >nul
if errorlevel 1 exit /b 1
:mark
set "STEP=%NAME% could not be marked read-only"
"%TOOLS%\attrib.exe" +R "%NAME%"
exit /b

rem FOUND is the digest of FILE afterwards; empty where it could not be read. Older systems write it with spaces.
:hash
set "FOUND="
for /f "skip=1 delims=" %%H in ('""%TOOLS%\certutil.exe" -hashfile "%FILE%" SHA256"') do if not defined FOUND set "FOUND=%%H"
if defined FOUND set "FOUND=%FOUND: =%"
if not defined FOUND set "STEP=certutil.exe gave no digest of %FILE%"
exit /b 0
